// Every call of the list through the Go SDK v1, as it is.
package main

import (
	"bytes"
	"encoding/base64"
	"io"
	"path/filepath"
	"strings"

	"github.com/aliyun/aliyun-oss-go-sdk/oss"

	"vipsgate/clients/row"
)

const process = "image/resize,w_100/format,png"

func main() { row.Each(work) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func work(run row.Run) {
	options := []oss.ClientOption{oss.Region("cn-hangzhou"), oss.AuthVersion(oss.AuthV1)}
	if run.Version == "v4" {
		options[1] = oss.AuthVersion(oss.AuthV4)
	}
	if run.Proxy != "" {
		options = append(options, oss.Proxy("http://"+run.Proxy))
	}
	client, err := oss.New(run.Endpoint, "ownerKey", "ownerSecret", options...)
	must(err)
	bucket, err := client.Bucket(run.Bucket)
	must(err)
	if run.Kind == "bucket" {
		ofBucket(run, client)
	} else {
		ofObject(run, bucket)
		ofParts(run, bucket)
		ofLists(run, bucket)
		ofPictures(run, bucket)
		ofDeletes(run, bucket)
	}
}

func ofBucket(run row.Run, client *oss.Client) {
	run.Call("bucket", func() error {
		if err := client.CreateBucket(run.Bucket); err != nil {
			return err
		}
		info, err := client.GetBucketInfo(run.Bucket)
		if err != nil {
			return err
		}
		if err := row.Equal(info.BucketInfo.Name, run.Bucket); err != nil {
			return err
		}
		list, err := client.ListBuckets(oss.Prefix(run.Bucket))
		if err != nil {
			return err
		}
		return row.Equal(len(list.Buckets), 1)
	})
	run.Call("bucket-acl", func() error {
		if err := client.SetBucketACL(run.Bucket, oss.ACLPublicRead); err != nil {
			return err
		}
		acl, err := client.GetBucketACL(run.Bucket)
		if err != nil {
			return err
		}
		if err := row.Equal(acl.ACL, "public-read"); err != nil {
			return err
		}
		return client.SetBucketACL(run.Bucket, oss.ACLPrivate)
	})
	run.Call("style", func() error {
		document := "<Style><Content>" + process + "</Content></Style>"
		if err := client.PutBucketStyleXml(run.Bucket, "small", document); err != nil {
			return err
		}
		style, err := client.GetBucketStyle(run.Bucket, "small")
		if err != nil {
			return err
		}
		return row.Equal(style.Content, process)
	})
	run.Call("referer", func() error {
		if err := client.SetBucketReferer(run.Bucket, []string{"http://a.com"}, true); err != nil {
			return err
		}
		result, err := client.GetBucketReferer(run.Bucket)
		if err != nil {
			return err
		}
		return row.Has(result.RefererList, "http://a.com")
	})
}

func ofObject(run row.Run, bucket *oss.Bucket) {
	photo := row.Read(run.Folder, "photo.jpg")
	run.Call("put", func() error {
		return bucket.PutObject(run.Key, bytes.NewReader(photo), oss.Meta("author", "me"))
	})
	run.Call("get", func() error {
		body, err := bucket.GetObject(run.Key)
		if err != nil {
			return err
		}
		return row.Same(body, photo)
	})
	run.Call("range", func() error {
		body, err := bucket.GetObject(run.Key, oss.Range(10, 19))
		if err != nil {
			return err
		}
		return row.Same(body, photo[10:20])
	})
	run.Call("head", func() error {
		headers, err := bucket.GetObjectDetailedMeta(run.Key)
		if err != nil {
			return err
		}
		return row.Equal(headers.Get("X-Oss-Meta-Author"), "me")
	})
	run.Call("copy", func() error {
		if _, err := bucket.CopyObject(run.Key, run.Key+".copy"); err != nil {
			return err
		}
		body, err := bucket.GetObject(run.Key + ".copy")
		if err != nil {
			return err
		}
		return row.Same(body, photo)
	})
	run.Call("acl", func() error {
		if err := bucket.SetObjectACL(run.Key, oss.ACLPublicRead); err != nil {
			return err
		}
		acl, err := bucket.GetObjectACL(run.Key)
		if err != nil {
			return err
		}
		if err := row.Equal(acl.ACL, "public-read"); err != nil {
			return err
		}
		return bucket.SetObjectACL(run.Key, oss.ACLPrivate)
	})
	run.Call("append", func() error {
		next, err := bucket.AppendObject(run.Key+".log", strings.NewReader("123"), 0)
		if err != nil {
			return err
		}
		if _, err = bucket.AppendObject(run.Key+".log", strings.NewReader("45"), next); err != nil {
			return err
		}
		body, err := bucket.GetObject(run.Key + ".log")
		if err != nil {
			return err
		}
		return row.Same(body, []byte("12345"))
	})
	run.Call("tagging", func() error {
		tags := oss.Tagging{Tags: []oss.Tag{{Key: "a b", Value: "x/y"}}}
		if err := bucket.PutObjectTagging(run.Key, tags); err != nil {
			return err
		}
		result, err := bucket.GetObjectTagging(run.Key)
		if err != nil {
			return err
		}
		if err := row.Equal(result.Tags[0].Value, "x/y"); err != nil {
			return err
		}
		return bucket.DeleteObjectTagging(run.Key)
	})
	run.Call("folder", func() error {
		if err := bucket.PutObject(run.Key+"/", strings.NewReader("")); err != nil {
			return err
		}
		exists, err := bucket.IsObjectExist(run.Key + "/")
		if err != nil {
			return err
		}
		return row.Equal(exists, true)
	})
}

func ofParts(run row.Run, bucket *oss.Bucket) {
	big := row.Read(run.Folder, "big")
	path, copied := filepath.Join(run.Folder, "big"), filepath.Join(run.Folder, "go-v1.big")
	run.Call("multipart", func() error {
		upload, err := bucket.InitiateMultipartUpload(run.Key + ".parts")
		if err != nil {
			return err
		}
		half := len(big) / 2
		var parts []oss.UploadPart
		for number, data := range [][]byte{big[:half], big[half:]} {
			reader := bytes.NewReader(data)
			part, err := bucket.UploadPart(upload, reader, int64(len(data)), number+1)
			if err != nil {
				return err
			}
			parts = append(parts, part)
		}
		listed, err := bucket.ListUploadedParts(upload)
		if err != nil {
			return err
		}
		if err := row.Equal(len(listed.UploadedParts), 2); err != nil {
			return err
		}
		if _, err := bucket.CompleteMultipartUpload(upload, parts); err != nil {
			return err
		}
		body, err := bucket.GetObject(run.Key + ".parts")
		if err != nil {
			return err
		}
		return row.Same(body, big)
	})
	run.Call("upload", func() error {
		return bucket.UploadFile(run.Key+".big", path, 100<<10, oss.Routines(2), oss.Checkpoint(true, ""))
	})
	run.Call("download", func() error {
		checkpoint := oss.Checkpoint(true, "")
		err := bucket.DownloadFile(run.Key+".big", copied, 100<<10, oss.Routines(2), checkpoint)
		if err != nil {
			return err
		}
		return row.Same(io.NopCloser(bytes.NewReader(row.Read(run.Folder, "go-v1.big"))), big)
	})
	run.Call("copy-parts", func() error {
		if err := bucket.CopyFile(run.Bucket, run.Key+".big", run.Key+".big2", 100<<10); err != nil {
			return err
		}
		body, err := bucket.GetObject(run.Key + ".big2")
		if err != nil {
			return err
		}
		return row.Same(body, big)
	})
}

func ofLists(run row.Run, bucket *oss.Bucket) {
	prefix := run.Key[:strings.Index(run.Key, "/")+1]
	run.Call("list", func() error {
		result, err := bucket.ListObjects(oss.Prefix(prefix))
		if err != nil {
			return err
		}
		var names []string
		for _, object := range result.Objects {
			names = append(names, object.Key)
		}
		return row.Has(names, run.Key)
	})
	run.Call("list-v2", func() error {
		var names []string
		for token := ""; ; {
			result, err := bucket.ListObjectsV2(oss.MaxKeys(2), oss.ContinuationToken(token))
			if err != nil {
				return err
			}
			for _, object := range result.Objects {
				names = append(names, object.Key)
			}
			if token = result.NextContinuationToken; token == "" {
				return row.Has(names, run.Key)
			}
		}
	})
	run.Call("delimiter", func() error {
		result, err := bucket.ListObjects(oss.Delimiter("/"))
		if err != nil {
			return err
		}
		return row.Has(result.CommonPrefixes, prefix)
	})
}

func ofPictures(run row.Run, bucket *oss.Bucket) {
	photo := row.Read(run.Folder, "photo.jpg")
	run.Call("process", func() error {
		body, err := bucket.GetObject(run.Key, oss.Process(process))
		if err != nil {
			return err
		}
		return row.Wide(body)
	})
	run.Call("presign", func() error {
		address, err := bucket.SignURL(run.Key, oss.HTTPGet, 60)
		if err != nil {
			return err
		}
		body, err := run.Fetch(address)
		if err != nil {
			return err
		}
		return row.Same(body, photo)
	})
	run.Call("presign-process", func() error {
		address, err := bucket.SignURL(run.Key, oss.HTTPGet, 60, oss.Process(process))
		if err != nil {
			return err
		}
		body, err := run.Fetch(address)
		if err != nil {
			return err
		}
		return row.Wide(body)
	})
	run.Call("saveas", func() error {
		name := base64.URLEncoding.EncodeToString([]byte(run.Key + ".png"))
		result, err := bucket.ProcessObject(run.Key, process+"|sys/saveas,o_"+name)
		if err != nil {
			return err
		}
		if err := row.Equal(result.Object, run.Key+".png"); err != nil {
			return err
		}
		body, err := bucket.GetObject(run.Key + ".png")
		if err != nil {
			return err
		}
		return row.Wide(body)
	})
}

func ofDeletes(run row.Run, bucket *oss.Bucket) {
	run.Call("delete-many", func() error {
		names := []string{run.Key + ".copy", run.Key + ".parts"}
		result, err := bucket.DeleteObjects(names)
		if err != nil {
			return err
		}
		if err := row.Has(result.DeletedObjects, names[0]); err != nil {
			return err
		}
		exists, err := bucket.IsObjectExist(names[0])
		if err != nil {
			return err
		}
		return row.Equal(exists, false)
	})
	run.Call("delete", func() error {
		if err := bucket.DeleteObject(run.Key); err != nil {
			return err
		}
		exists, err := bucket.IsObjectExist(run.Key)
		if err != nil {
			return err
		}
		return row.Equal(exists, false)
	})
}
