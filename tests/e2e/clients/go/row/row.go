// Package row prints a line for each call, and has what both programs compare answers with.
package row

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Run is one round of all calls: a signature version, an addressing style and a key.
type Run struct{ Version, Style, Endpoint, Proxy, Bucket, Kind, Key, Folder string }

// Each calls work for every version and style with the keys in FOLDER/keys; "bucket" has no key.
// The program's arguments are CLIENT PATH_ENDPOINT HOST_ENDPOINT PROXY FOLDER.
func Each(work func(Run)) {
	client, path, host, proxy, folder := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	keys := strings.Split(strings.TrimSpace(string(Read(folder, "keys"))), "\n")
	for _, version := range []string{"v1", "v4"} {
		for _, style := range []string{"path", "host"} {
			run := Run{Version: version, Style: style, Endpoint: path, Folder: folder}
			if style == "host" {
				run.Endpoint, run.Proxy = host, proxy
			}
			run.Bucket = client + "-" + version + "-" + style
			run.Kind = "bucket"
			work(run)
			for number, kind := range []string{"plain", "odd"} {
				run.Kind, run.Key = kind, keys[number]
				work(run)
			}
		}
	}
}

// Call prints what came of a call.
func (run Run) Call(name string, work func() error) {
	text := "ok"
	if err := work(); err != nil {
		text = strings.Join(strings.Fields(err.Error()), " ")
	}
	fmt.Printf("%s %s %s %s: %s\n", run.Version, run.Style, run.Kind, name, text)
}

// Read returns a file of the folder.
func Read(folder, name string) []byte {
	data, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		panic(err)
	}
	return data
}

// Same is nil if a stream has just these bytes.
func Same(body io.ReadCloser, expected []byte) error {
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if !bytes.Equal(data, expected) {
		return fmt.Errorf("%d other bytes than the %d expected", len(data), len(expected))
	}
	return nil
}

// Wide is nil if a stream is a PNG of 100 pixels' width.
func Wide(body io.ReadCloser) error {
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if len(data) < 24 || string(data[1:4]) != "PNG" || data[18] != 0 || data[19] != 100 {
		return fmt.Errorf("no PNG of 100 pixels' width: %.200q", data)
	}
	return nil
}

// Equal is nil for two equal values.
func Equal[T comparable](actual, expected T) error {
	if actual != expected {
		return fmt.Errorf("%v instead of %v", actual, expected)
	}
	return nil
}

// Has is nil if a list has a name.
func Has(names []string, name string) error {
	for _, item := range names {
		if item == name {
			return nil
		}
	}
	return fmt.Errorf("%q is not in %q", name, names)
}

// Fetch gets a signed URL as a browser would, without an SDK.
func (run Run) Fetch(address string) (io.ReadCloser, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	if run.Proxy != "" {
		transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: run.Proxy})
	}
	answer, err := (&http.Client{Transport: transport}).Get(address)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != 200 {
		data, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		return nil, fmt.Errorf("%s for %s: %s", answer.Status, address, data)
	}
	return answer.Body, nil
}
