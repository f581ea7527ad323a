// Every call of the list through the Go SDK v2, as it is.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"
	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss/credentials"

	"vipsgate/clients/row"
)

const process = "image/resize,w_100/format,png"

var ctx = context.Background()

func main() { row.Each(work) }

func work(run row.Run) {
	config := oss.LoadDefaultConfig().WithRegion("cn-hangzhou").WithEndpoint(run.Endpoint).
		WithCredentialsProvider(credentials.NewStaticCredentialsProvider("ownerKey", "ownerSecret")).
		WithSignatureVersion(oss.SignatureVersionV4)
	if run.Version == "v1" {
		config = config.WithSignatureVersion(oss.SignatureVersionV1)
	}
	if run.Proxy != "" {
		config = config.WithProxyHost("http://" + run.Proxy)
	} else {
		config = config.WithUsePathStyle(true)
	}
	client := oss.NewClient(config)
	if run.Kind == "bucket" {
		ofBucket(run, client)
	} else {
		ofObject(run, client)
		ofParts(run, client)
		ofLists(run, client)
		ofPictures(run, client)
		ofDeletes(run, client)
	}
}

// same is nil if an object has just these bytes.
func same(run row.Run, client *oss.Client, key string, expected []byte) error {
	result, err := client.GetObject(ctx, &oss.GetObjectRequest{Bucket: &run.Bucket, Key: &key})
	if err != nil {
		return err
	}
	return row.Same(result.Body, expected)
}

func ofBucket(run row.Run, client *oss.Client) {
	run.Call("bucket", func() error {
		if _, err := client.PutBucket(ctx, &oss.PutBucketRequest{Bucket: &run.Bucket}); err != nil {
			return err
		}
		info, err := client.GetBucketInfo(ctx, &oss.GetBucketInfoRequest{Bucket: &run.Bucket})
		if err != nil {
			return err
		}
		if err := row.Equal(*info.BucketInfo.Name, run.Bucket); err != nil {
			return err
		}
		list, err := client.ListBuckets(ctx, &oss.ListBucketsRequest{Prefix: &run.Bucket})
		if err != nil {
			return err
		}
		return row.Equal(len(list.Buckets), 1)
	})
	run.Call("bucket-acl", func() error {
		for _, acl := range []oss.BucketACLType{oss.BucketACLPublicRead, oss.BucketACLPrivate} {
			request := &oss.PutBucketAclRequest{Bucket: &run.Bucket, Acl: acl}
			if _, err := client.PutBucketAcl(ctx, request); err != nil {
				return err
			}
			result, err := client.GetBucketAcl(ctx, &oss.GetBucketAclRequest{Bucket: &run.Bucket})
			if err != nil {
				return err
			}
			if err := row.Equal(*result.ACL, string(acl)); err != nil {
				return err
			}
		}
		return nil
	})
	run.Call("style", func() error {
		request := &oss.PutStyleRequest{Bucket: &run.Bucket, StyleName: oss.Ptr("small"),
			Style: &oss.StyleContent{Content: oss.Ptr(process)}}
		if _, err := client.PutStyle(ctx, request); err != nil {
			return err
		}
		result, err := client.GetStyle(ctx,
			&oss.GetStyleRequest{Bucket: &run.Bucket, StyleName: oss.Ptr("small")})
		if err != nil {
			return err
		}
		return row.Equal(*result.Style.Content, process)
	})
	run.Call("referer", func() error {
		request := &oss.PutBucketRefererRequest{Bucket: &run.Bucket,
			RefererConfiguration: &oss.RefererConfiguration{AllowEmptyReferer: oss.Ptr(true),
				RefererList: &oss.RefererList{Referers: []string{"http://a.com"}}}}
		if _, err := client.PutBucketReferer(ctx, request); err != nil {
			return err
		}
		result, err := client.GetBucketReferer(ctx,
			&oss.GetBucketRefererRequest{Bucket: &run.Bucket})
		if err != nil {
			return err
		}
		return row.Has(result.RefererConfiguration.RefererList.Referers, "http://a.com")
	})
}

func ofObject(run row.Run, client *oss.Client) {
	photo := row.Read(run.Folder, "photo.jpg")
	run.Call("put", func() error {
		_, err := client.PutObject(ctx, &oss.PutObjectRequest{Bucket: &run.Bucket, Key: &run.Key,
			Body: bytes.NewReader(photo), Metadata: map[string]string{"author": "me"}})
		return err
	})
	run.Call("get", func() error { return same(run, client, run.Key, photo) })
	run.Call("range", func() error {
		result, err := client.GetObject(ctx, &oss.GetObjectRequest{Bucket: &run.Bucket,
			Key: &run.Key, Range: oss.Ptr("bytes=10-19"), RangeBehavior: oss.Ptr("standard")})
		if err != nil {
			return err
		}
		return row.Same(result.Body, photo[10:20])
	})
	run.Call("head", func() error {
		result, err := client.HeadObject(ctx,
			&oss.HeadObjectRequest{Bucket: &run.Bucket, Key: &run.Key})
		if err != nil {
			return err
		}
		if err := row.Equal(result.ContentLength, int64(len(photo))); err != nil {
			return err
		}
		return row.Equal(result.Metadata["author"], "me")
	})
	run.Call("copy", func() error {
		_, err := client.CopyObject(ctx, &oss.CopyObjectRequest{Bucket: &run.Bucket,
			Key: oss.Ptr(run.Key + ".copy"), SourceKey: &run.Key})
		if err != nil {
			return err
		}
		return same(run, client, run.Key+".copy", photo)
	})
	run.Call("acl", func() error {
		for _, acl := range []oss.ObjectACLType{oss.ObjectACLPublicRead, oss.ObjectACLPrivate} {
			request := &oss.PutObjectAclRequest{Bucket: &run.Bucket, Key: &run.Key, Acl: acl}
			if _, err := client.PutObjectAcl(ctx, request); err != nil {
				return err
			}
			result, err := client.GetObjectAcl(ctx,
				&oss.GetObjectAclRequest{Bucket: &run.Bucket, Key: &run.Key})
			if err != nil {
				return err
			}
			if err := row.Equal(*result.ACL, string(acl)); err != nil {
				return err
			}
		}
		return nil
	})
	run.Call("append", func() error {
		key, position := run.Key+".log", int64(0)
		for _, text := range []string{"123", "45"} {
			result, err := client.AppendObject(ctx, &oss.AppendObjectRequest{Bucket: &run.Bucket,
				Key: &key, Position: &position, Body: strings.NewReader(text)})
			if err != nil {
				return err
			}
			position = result.NextPosition
		}
		return same(run, client, key, []byte("12345"))
	})
	run.Call("tagging", func() error {
		tags := []oss.Tag{{Key: oss.Ptr("a b"), Value: oss.Ptr("x/y")}}
		_, err := client.PutObjectTagging(ctx, &oss.PutObjectTaggingRequest{Bucket: &run.Bucket,
			Key: &run.Key, Tagging: &oss.Tagging{TagSet: &oss.TagSet{Tags: tags}}})
		if err != nil {
			return err
		}
		result, err := client.GetObjectTagging(ctx,
			&oss.GetObjectTaggingRequest{Bucket: &run.Bucket, Key: &run.Key})
		if err != nil {
			return err
		}
		return row.Equal(*result.Tags[0].Value, "x/y")
	})
	run.Call("folder", func() error {
		key := run.Key + "/"
		request := &oss.PutObjectRequest{Bucket: &run.Bucket, Key: &key}
		if _, err := client.PutObject(ctx, request); err != nil {
			return err
		}
		exists, err := client.IsObjectExist(ctx, run.Bucket, key)
		if err != nil {
			return err
		}
		return row.Equal(exists, true)
	})
}

func ofParts(run row.Run, client *oss.Client) {
	big := row.Read(run.Folder, "big")
	path, copied := filepath.Join(run.Folder, "big"), filepath.Join(run.Folder, "go-v2.big")
	run.Call("multipart", func() error {
		key, half := run.Key+".parts", len(big)/2
		upload, err := client.InitiateMultipartUpload(ctx,
			&oss.InitiateMultipartUploadRequest{Bucket: &run.Bucket, Key: &key})
		if err != nil {
			return err
		}
		var parts []oss.UploadPart
		for number, data := range [][]byte{big[:half], big[half:]} {
			part, err := client.UploadPart(ctx, &oss.UploadPartRequest{Bucket: &run.Bucket, Key: &key,
				UploadId: upload.UploadId, PartNumber: int32(number + 1), Body: bytes.NewReader(data)})
			if err != nil {
				return err
			}
			parts = append(parts, oss.UploadPart{PartNumber: int32(number + 1), ETag: part.ETag})
		}
		listed, err := client.ListParts(ctx,
			&oss.ListPartsRequest{Bucket: &run.Bucket, Key: &key, UploadId: upload.UploadId})
		if err != nil {
			return err
		}
		if err := row.Equal(len(listed.Parts), 2); err != nil {
			return err
		}
		_, err = client.CompleteMultipartUpload(ctx, &oss.CompleteMultipartUploadRequest{
			Bucket: &run.Bucket, Key: &key, UploadId: upload.UploadId,
			CompleteMultipartUpload: &oss.CompleteMultipartUpload{Parts: parts}})
		if err != nil {
			return err
		}
		return same(run, client, key, big)
	})
	run.Call("upload", func() error {
		_, err := client.NewUploader().UploadFile(ctx,
			&oss.PutObjectRequest{Bucket: &run.Bucket, Key: oss.Ptr(run.Key + ".big")}, path,
			func(options *oss.UploaderOptions) {
				options.PartSize, options.ParallelNum = 100<<10, 2
				options.EnableCheckpoint, options.CheckpointDir = true, run.Folder
			})
		return err
	})
	run.Call("download", func() error {
		_, err := client.NewDownloader().DownloadFile(ctx,
			&oss.GetObjectRequest{Bucket: &run.Bucket, Key: oss.Ptr(run.Key + ".big")}, copied,
			func(options *oss.DownloaderOptions) {
				options.PartSize, options.ParallelNum = 100<<10, 2
				options.EnableCheckpoint, options.CheckpointDir = true, run.Folder
			})
		if err != nil {
			return err
		}
		return row.Same(io.NopCloser(bytes.NewReader(row.Read(run.Folder, "go-v2.big"))), big)
	})
	run.Call("copy-parts", func() error {
		_, err := client.NewCopier().Copy(ctx, &oss.CopyObjectRequest{Bucket: &run.Bucket,
			Key: oss.Ptr(run.Key + ".big2"), SourceKey: oss.Ptr(run.Key + ".big")},
			func(options *oss.CopierOptions) {
				options.PartSize, options.MultipartCopyThreshold = 100<<10, 1
				options.DisableShallowCopy = true
			})
		if err != nil {
			return err
		}
		return same(run, client, run.Key+".big2", big)
	})
}

func ofLists(run row.Run, client *oss.Client) {
	prefix := run.Key[:strings.Index(run.Key, "/")+1]
	run.Call("list", func() error {
		result, err := client.ListObjects(ctx,
			&oss.ListObjectsRequest{Bucket: &run.Bucket, Prefix: &prefix})
		if err != nil {
			return err
		}
		var names []string
		for _, object := range result.Contents {
			names = append(names, *object.Key)
		}
		return row.Has(names, run.Key)
	})
	run.Call("list-v2", func() error {
		var names []string
		pages := client.NewListObjectsV2Paginator(
			&oss.ListObjectsV2Request{Bucket: &run.Bucket, MaxKeys: 2})
		for pages.HasNext() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, object := range page.Contents {
				names = append(names, *object.Key)
			}
		}
		return row.Has(names, run.Key)
	})
	run.Call("delimiter", func() error {
		result, err := client.ListObjectsV2(ctx,
			&oss.ListObjectsV2Request{Bucket: &run.Bucket, Delimiter: oss.Ptr("/")})
		if err != nil {
			return err
		}
		var names []string
		for _, item := range result.CommonPrefixes {
			names = append(names, *item.Prefix)
		}
		return row.Has(names, prefix)
	})
}

func ofPictures(run row.Run, client *oss.Client) {
	photo := row.Read(run.Folder, "photo.jpg")
	fetch := func(request *oss.GetObjectRequest) (io.ReadCloser, error) {
		result, err := client.Presign(ctx, request, oss.PresignExpires(time.Minute))
		if err != nil {
			return nil, err
		}
		return run.Fetch(result.URL)
	}
	run.Call("process", func() error {
		result, err := client.GetObject(ctx, &oss.GetObjectRequest{Bucket: &run.Bucket,
			Key: &run.Key, Process: oss.Ptr(process)})
		if err != nil {
			return err
		}
		return row.Wide(result.Body)
	})
	run.Call("presign", func() error {
		body, err := fetch(&oss.GetObjectRequest{Bucket: &run.Bucket, Key: &run.Key})
		if err != nil {
			return err
		}
		return row.Same(body, photo)
	})
	run.Call("presign-process", func() error {
		body, err := fetch(&oss.GetObjectRequest{Bucket: &run.Bucket, Key: &run.Key,
			Process: oss.Ptr(process)})
		if err != nil {
			return err
		}
		return row.Wide(body)
	})
	run.Call("saveas", func() error {
		key := run.Key + ".png"
		name := base64.URLEncoding.EncodeToString([]byte(key))
		_, err := client.ProcessObject(ctx, &oss.ProcessObjectRequest{Bucket: &run.Bucket,
			Key: &run.Key, Process: oss.Ptr(process + "|sys/saveas,o_" + name)})
		if err != nil {
			return err
		}
		result, err := client.GetObject(ctx, &oss.GetObjectRequest{Bucket: &run.Bucket, Key: &key})
		if err != nil {
			return err
		}
		return row.Wide(result.Body)
	})
}

func ofDeletes(run row.Run, client *oss.Client) {
	run.Call("delete-many", func() error {
		key := run.Key + ".copy"
		objects := []oss.DeleteObject{{Key: &key}, {Key: oss.Ptr(run.Key + ".parts")}}
		result, err := client.DeleteMultipleObjects(ctx,
			&oss.DeleteMultipleObjectsRequest{Bucket: &run.Bucket, Objects: objects})
		if err != nil {
			return err
		}
		if err := row.Equal(*result.DeletedObjects[0].Key, key); err != nil {
			return err
		}
		exists, err := client.IsObjectExist(ctx, run.Bucket, key)
		if err != nil {
			return err
		}
		return row.Equal(exists, false)
	})
	run.Call("delete", func() error {
		request := &oss.DeleteObjectRequest{Bucket: &run.Bucket, Key: &run.Key}
		if _, err := client.DeleteObject(ctx, request); err != nil {
			return err
		}
		exists, err := client.IsObjectExist(ctx, run.Bucket, run.Key)
		if err != nil {
			return err
		}
		return row.Equal(exists, false)
	})
}
