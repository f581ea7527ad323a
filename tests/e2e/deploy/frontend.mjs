// What the helpers of deploy/frontend make of cases, one JSON text in and one out:
// {base, cases: [[helper, source, operations], ...]} -> [URLs or an error's text, ...]
import { createElement } from 'react'
import { renderToStaticMarkup } from 'react-dom/server'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const { base, modules, cases } = JSON.parse(readFileSync(0, 'utf8'))
process.env.NEXT_PUBLIC_OSS_BASE = base
const { default: ossLoader } = await import('./next-loader.js')
const provider = await import('./nuxt-provider.js')
const unpic = await import('./unpic.js')
const oss = await import('./oss.js')
const next = (await import('next/image.js')).default
const { transformBaseImageProps } = await import('@unpic/core/base')
const runtime = pathToFileURL(`${modules}/@nuxt/image/dist/runtime/image.js`)
const { createImage } = await import(runtime)
const image = createImage({
  provider: 'oss',
  providers: { oss: { setup: provider.default, defaults: { baseURL: base } } },
  presets: {}, alias: {}, domains: [], densities: [1, 2], screens: { sm: 640 },
})

const urls = (props) => [props.src, ...(props.srcSet ?? props.srcset).split(', ').map((row) => row.split(' ')[0])]
const helpers = {
  url: (source, operations) => [oss.url(base, source, operations)],
  again: (source, operations) => {
    const read = oss.parse(oss.url(base, source, operations))
    return [oss.url(base, read.source, read.operations)]
  },
  next: (src, props) => urls(next.getImageProps({ src, alt: '', loader: ossLoader, ...props }).props),
  component: (src, props) => [renderToStaticMarkup(createElement(next.default, { src, alt: '', loader: ossLoader, ...props }))],
  nuxt: (src, modifiers) => [image(src, modifiers)],
  nuxt1: (src, modifiers) => [provider.getImage(`/${src}`, { modifiers, baseURL: base }).url],
  sizes: (src, { sizes, ...modifiers }) => urls(image.getSizes(src, { sizes, modifiers })),
  unpic: (src, props) => urls(transformBaseImageProps({ src, alt: '', transformer: unpic.transform, options: { base }, ...props })),
  transform: (src, operations) => [unpic.transform(src, operations, { base })],
  extract: (src) => unpic.extract(src),
}
const results = cases.map(([helper, source, operations]) => {
  try { return helpers[helper](source, operations) } catch (error) { return String(error) }
})
process.stdout.write(JSON.stringify(results))
