// A loader for next/image. In next.config.js:
//
//   images: { loader: 'custom', loaderFile: './next-loader.js' }
//
// or for one picture: <Image loader={ossLoader} src="西湖/a b.jpg" ... />. `src` is a key of the
// bucket, as it is, or a whole URL, with a style or not; NEXT_PUBLIC_OSS_BASE is the bucket's URL:
// https://BUCKET.oss-cn-hangzhou.aliyuncs.com, or http://HOST:8080/BUCKET of vipsgate.
import { url } from './oss.js'

const BASE = process.env.NEXT_PUBLIC_OSS_BASE ?? ''
const FORMAT = process.env.NEXT_PUBLIC_OSS_FORMAT ?? '' // 'webp' for all; empty: as the source

export default function ossLoader({ src, width, quality }) {
  return url(BASE, src, { width, quality, format: FORMAT })
}
