import com.aliyun.oss.*;
import com.aliyun.oss.common.comm.SignVersion;
import com.aliyun.oss.model.*;
import com.aliyun.oss.common.auth.DefaultCredentialProvider;
import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;

/** Every call of the list through the Java SDK v1, as it is. */
public class Client {
    static final String PROCESS = "image/resize,w_100/format,png";
    static final int PART = 100 << 10;

    interface Work {
        void run() throws Throwable;
    }

    final String version, style, kind, bucket, key, prefix;
    final Path folder;
    final byte[] photo, big;
    final Proxy proxy;
    final OSS client;

    Client(String[] args, String version, String style, String kind, String key)
            throws IOException {
        this.version = version;
        this.style = style;
        this.kind = kind;
        this.key = key;
        prefix = key.substring(0, key.indexOf('/') + 1);
        bucket = args[0] + "-" + version + "-" + style;
        folder = Paths.get(args[4]);
        photo = Files.readAllBytes(folder.resolve("photo.jpg"));
        big = Files.readAllBytes(folder.resolve("big"));
        ClientBuilderConfiguration settings = new ClientBuilderConfiguration();
        settings.setSignatureVersion(version.equals("v4") ? SignVersion.V4 : SignVersion.V1);
        boolean host = style.equals("host");
        String[] address = args[3].split(":");
        if (host) {
            settings.setProxyHost(address[0]);
            settings.setProxyPort(Integer.parseInt(address[1]));
        }
        proxy = !host ? Proxy.NO_PROXY : new Proxy(Proxy.Type.HTTP,
                new InetSocketAddress(address[0], Integer.parseInt(address[1])));
        client = OSSClientBuilder.create().endpoint(host ? args[2] : args[1])
                .credentialsProvider(new DefaultCredentialProvider("ownerKey", "ownerSecret"))
                .region("cn-hangzhou").clientConfiguration(settings).build();
    }

    public static void main(String[] args) throws Exception {
        List<String> keys = Files.readAllLines(Paths.get(args[4], "keys"), StandardCharsets.UTF_8);
        System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, "UTF-8"));
        for (String version : new String[] {"v1", "v4"}) {
            for (String style : new String[] {"path", "host"}) {
                Client first = new Client(args, version, style, "bucket", "");
                first.ofBucket();
                first.client.shutdown();
                for (int number = 0; number < 2; number++) {
                    String kind = number == 0 ? "plain" : "odd";
                    Client client = new Client(args, version, style, kind, keys.get(number));
                    client.ofObject();
                    client.ofParts();
                    client.ofLists();
                    client.ofPictures();
                    client.ofDeletes();
                    client.client.shutdown();
                }
            }
        }
    }

    /** Print what came of a call. */
    void call(String name, Work work) {
        String text = "ok";
        try {
            work.run();
        } catch (Throwable error) {
            text = error.toString().replaceAll("\\s+", " ");
        }
        System.out.println(version + " " + style + " " + kind + " " + name + ": " + text);
    }

    static void equal(Object actual, Object expected) {
        if (!actual.equals(expected)) {
            throw new IllegalStateException(actual + " instead of " + expected);
        }
    }

    static void same(InputStream body, byte[] expected) throws IOException {
        try (body) {
            if (!Arrays.equals(body.readAllBytes(), expected)) {
                throw new IllegalStateException("other bytes");
            }
        }
    }

    /** A PNG of 100 pixels' width. */
    static void wide(InputStream body) throws IOException {
        try (body) {
            byte[] data = body.readAllBytes();
            if (data.length < 24 || data[1] != 'P' || data[18] != 0 || data[19] != 100) {
                throw new IllegalStateException("no PNG of 100 pixels' width: "
                        + new String(data, StandardCharsets.ISO_8859_1).substring(0, 200));
            }
        }
    }

    InputStream read(String name) {
        return client.getObject(bucket, name).getObjectContent();
    }

    void ofBucket() {
        call("bucket", () -> {
            client.createBucket(bucket);
            equal(client.getBucketInfo(bucket).getBucket().getName(), bucket);
            equal(client.listBuckets(bucket, "", 10).getBucketList().size(), 1);
        });
        call("bucket-acl", () -> {
            for (CannedAccessControlList acl : new CannedAccessControlList[] {
                    CannedAccessControlList.PublicRead, CannedAccessControlList.Private}) {
                client.setBucketAcl(bucket, acl);
                equal(client.getBucketAcl(bucket).getCannedACL(), acl);
            }
        });
        call("style", () -> {
            PutImageStyleRequest request = new PutImageStyleRequest();
            request.SetBucketName(bucket);
            request.SetStyleName("small");
            request.SetStyle(PROCESS);
            client.putImageStyle(request);
            equal(client.getImageStyle(bucket, "small").GetStyle(), PROCESS);
        });
        call("referer", () -> {
            List<String> referers = Collections.singletonList("http://a.com");
            client.setBucketReferer(bucket, new BucketReferer(true, referers));
            equal(client.getBucketReferer(bucket).getRefererList(), referers);
        });
    }

    void ofObject() {
        call("put", () -> {
            ObjectMetadata metadata = new ObjectMetadata();
            metadata.addUserMetadata("author", "me");
            client.putObject(bucket, key, new ByteArrayInputStream(photo), metadata);
        });
        call("get", () -> same(read(key), photo));
        call("range", () -> {
            GetObjectRequest request = new GetObjectRequest(bucket, key).withRange(10, 19);
            same(client.getObject(request).getObjectContent(), Arrays.copyOfRange(photo, 10, 20));
        });
        call("head", () -> {
            ObjectMetadata metadata = client.getObjectMetadata(bucket, key);
            equal(metadata.getContentLength(), (long) photo.length);
            equal(metadata.getUserMetadata().get("author"), "me");
        });
        call("copy", () -> {
            client.copyObject(bucket, key, bucket, key + ".copy");
            same(read(key + ".copy"), photo);
        });
        call("acl", () -> {
            client.setObjectAcl(bucket, key, CannedAccessControlList.PublicRead);
            equal(client.getObjectAcl(bucket, key).getPermission(), ObjectPermission.PublicRead);
            client.setObjectAcl(bucket, key, CannedAccessControlList.Private);
        });
        call("append", () -> {
            long position = 0;
            for (String text : new String[] {"123", "45"}) {
                InputStream body = new ByteArrayInputStream(text.getBytes());
                AppendObjectRequest request = new AppendObjectRequest(bucket, key + ".log", body);
                position = client.appendObject(request.withPosition(position)).getNextPosition();
            }
            same(read(key + ".log"), "12345".getBytes());
        });
        call("tagging", () -> {
            Map<String, String> tags = Collections.singletonMap("a b", "x/y");
            client.setObjectTagging(bucket, key, tags);
            equal(client.getObjectTagging(bucket, key).getAllTags(), tags);
            client.deleteObjectTagging(bucket, key);
        });
        call("folder", () -> {
            client.putObject(bucket, key + "/", new ByteArrayInputStream(new byte[0]));
            equal(client.doesObjectExist(bucket, key + "/"), true);
        });
    }

    void ofParts() {
        String copied = folder.resolve("java.big").toString();
        call("multipart", () -> {
            String name = key + ".parts";
            String upload = client.initiateMultipartUpload(
                    new InitiateMultipartUploadRequest(bucket, name)).getUploadId();
            List<PartETag> parts = new ArrayList<>();
            int half = big.length / 2;
            for (int number = 0; number < 2; number++) {
                InputStream body = new ByteArrayInputStream(big, number * half, half);
                UploadPartRequest request = new UploadPartRequest(bucket, name, upload,
                        number + 1, body, half);
                parts.add(client.uploadPart(request).getPartETag());
            }
            equal(client.listParts(new ListPartsRequest(bucket, name, upload)).getParts().size(),
                    2);
            client.completeMultipartUpload(
                    new CompleteMultipartUploadRequest(bucket, name, upload, parts));
            same(read(name), big);
        });
        call("upload", () -> {
            String source = folder.resolve("big").toString();
            client.uploadFile(
                    new UploadFileRequest(bucket, key + ".big", source, PART, 2, true));
        });
        call("download", () -> {
            client.downloadFile(
                    new DownloadFileRequest(bucket, key + ".big", copied, PART, 2, true));
            equal(Arrays.equals(Files.readAllBytes(Paths.get(copied)), big), true);
        });
        call("copy-parts", () -> {
            String source = key + ".big", name = key + ".big2";
            String upload = client.initiateMultipartUpload(
                    new InitiateMultipartUploadRequest(bucket, name)).getUploadId();
            List<PartETag> parts = new ArrayList<>();
            int half = big.length / 2;
            for (int number = 0; number < 2; number++) {
                parts.add(client.uploadPartCopy(new UploadPartCopyRequest(bucket, source, bucket,
                        name, upload, number + 1, (long) number * half, (long) half))
                        .getPartETag());
            }
            client.completeMultipartUpload(
                    new CompleteMultipartUploadRequest(bucket, name, upload, parts));
            same(read(name), big);
        });
    }

    void ofLists() {
        call("list", () -> equal(client.listObjects(bucket, prefix).getObjectSummaries().stream()
                .anyMatch(object -> object.getKey().equals(key)), true));
        call("list-v2", () -> {
            Set<String> names = new HashSet<>();
            ListObjectsV2Request request = new ListObjectsV2Request(bucket).withMaxKeys(2);
            ListObjectsV2Result page;
            do {
                page = client.listObjectsV2(request);
                page.getObjectSummaries().forEach(object -> names.add(object.getKey()));
                request.setContinuationToken(page.getNextContinuationToken());
            } while (page.isTruncated());
            equal(names.contains(key), true);
        });
        call("delimiter", () -> equal(client.listObjects(new ListObjectsRequest(bucket)
                .withDelimiter("/")).getCommonPrefixes().contains(prefix), true));
    }

    void ofPictures() {
        call("process", () -> {
            GetObjectRequest request = new GetObjectRequest(bucket, key);
            request.setProcess(PROCESS);
            wide(client.getObject(request).getObjectContent());
        });
        call("presign", () -> same(fetch(""), photo));
        call("presign-process", () -> wide(fetch(PROCESS)));
        call("saveas", () -> {
            String target = Base64.getUrlEncoder()
                    .encodeToString((key + ".png").getBytes(StandardCharsets.UTF_8));
            client.processObject(new ProcessObjectRequest(bucket, key,
                    PROCESS + "|sys/saveas,o_" + target)).getResponse().getContent().close();
            wide(read(key + ".png"));
        });
    }

    /** The body of a signed URL, as a browser gets it, without the SDK. */
    InputStream fetch(String process) throws IOException {
        GeneratePresignedUrlRequest request = new GeneratePresignedUrlRequest(bucket, key);
        request.setExpiration(new Date(System.currentTimeMillis() + 60_000));
        if (!process.isEmpty()) {
            request.setProcess(process);
        }
        return client.generatePresignedUrl(request).openConnection(proxy).getInputStream();
    }

    void ofDeletes() {
        call("delete-many", () -> {
            List<String> names = Arrays.asList(key + ".copy", key + ".parts");
            DeleteObjectsRequest request = new DeleteObjectsRequest(bucket).withKeys(names);
            equal(client.deleteObjects(request.withEncodingType("url")).getDeletedObjects(), names);
            equal(client.doesObjectExist(bucket, names.get(0)), false);
        });
        call("delete", () -> {
            client.deleteObject(bucket, key);
            equal(client.doesObjectExist(bucket, key), false);
        });
    }
}
