// A transformer as unpic and its components take it: parse, change and write URLs of OSS's grammar.
//
//   import { transformBaseImageProps } from '@unpic/core/base'
//   import { transform } from './unpic.js'
//   transformBaseImageProps({ src, width: 800, height: 600, layout: 'constrained', transformer: transform })
//
// `src` is a URL, encoded, or with `options.base` a key as it is. Operations are unpic's (width,
// height, quality, format) and `fit`, `background` and `process`: oss.js has what they mean.
import { parse, process, url } from './oss.js'

/** A URL with exactly these operations. */
export function generate(src, operations, options = {}) {
  return url(options.base ?? '', String(src), operations)
}

/** The source and the operations of a URL; null where it has none. */
export function extract(address) {
  const { source, operations } = parse(address)
  return process(operations) ? { src: source, operations } : null
}

/** A URL whose operations are those that it has, changed by these. */
export function transform(src, operations, options = {}) {
  const known = extract(src) ?? { src, operations: {} }
  return generate(known.src, { ...known.operations, ...operations }, options)
}
