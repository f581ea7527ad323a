// A provider for @nuxt/image, versions 1 and 2. In nuxt.config.js:
//
//   image: {
//     provider: 'oss',
//     providers: { oss: { provider: '~/nuxt-provider.js', options: { baseURL: 'https://img.example.com' } } },
//   }
//
// and <NuxtImg src="西湖/a b.jpg" width="640" height="400" fit="cover" format="webp" quality="75" />. `src` is
// a key of the bucket, as it is, or a whole URL. Of the modifiers, `process` is what is done before:
// :modifiers="{ process: 'style/card' }".
import { url } from './oss.js'

const KNOWN = ['width', 'height', 'fit', 'background', 'quality', 'format', 'process']

export function getImage(src, { modifiers = {}, baseURL = '' } = {}) {
  const unknown = Object.keys(modifiers).filter((name) => modifiers[name] !== undefined && !KNOWN.includes(name))
  if (unknown.length) throw new RangeError(`modifiers: ${unknown.join(', ')} is not one of ${KNOWN.join(', ')}`)
  return { url: url(baseURL, src, modifiers) }
}

export default () => ({ getImage }) // what version 2 calls; version 1 takes getImage itself
