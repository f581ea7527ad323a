// URLs of pictures in OSS's grammar: what the helpers beside this file share. No dependencies.
//   url('https://img.example.com', '西湖/a b.jpg', { width: 640, quality: 75, format: 'webp' })
// A source is either a key, as it is and not encoded, or a whole URL, which is encoded already.

const PROCESS = 'x-oss-process'
const FITS = { cover: 'fill', contain: 'pad', fill: 'fixed', inside: 'lfit', outside: 'mfit' }
const FORMATS = ['jpg', 'png', 'webp', 'avif', 'gif', 'bmp', 'tiff', 'heic', 'src', 'auto'] // auto: not OSS's
const SIGNED = ['Signature', 'x-oss-signature', 'x-oss-signature-version'] // of V1, V4, V2

const given = (value) => value !== undefined && value !== null && value !== ''
const nameOf = (pair) => decodeURIComponent(pair.split('=')[0])
const encoded = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`)

function integer(name, value, most) {
  const number = Math.round(Number(value))
  if (!(number >= 1 && number <= most)) throw new RangeError(`${name}: ${value} is not from 1 to ${most}`)
  return number
}

function word(name, value, words) {
  if (words.includes(value)) return value
  throw new RangeError(`${name}: ${value} is not one of ${words.join(', ')}`)
}

/** The value of x-oss-process. `process` is what is done before: `style/NAME` or `image/...`. */
export function process({ process = '', width, height, fit, background, quality, format } = {}) {
  const steps = []
  const sides = Object.entries({ width, height }).filter(([, side]) => given(side))
  const resize = sides.map(([name, side]) => `${name[0]}_${integer(name, side, 16384)}`)
  const mode = word('fit', given(fit) ? fit : 'cover', Object.keys(FITS))
  if (resize.length === 2) resize.unshift(`m_${FITS[mode]}`) // one side alone has no box to fit into
  if (resize.length === 3 && mode === 'contain' && given(background)) resize.push(`color_${String(background).replace('#', '')}`)
  if (resize.length) steps.push(`resize,${resize.join(',')}`)
  if (given(quality)) steps.push(`quality,Q_${integer('quality', quality, 100)}`)
  if (given(format)) steps.push(`format,${word('format', format === 'jpeg' ? 'jpg' : format, FORMATS)}`)
  return [process, steps.length && `image/${steps.join('/')}`].filter(Boolean).join('|')
}

/** The URL of a picture; the operations follow those that a source's own URL has. */
export function url(base, source, operations = {}) {
  const isUrl = /^(https?:)?\/\//.test(source)
  const [address, query = ''] = isUrl ? source.split('#')[0].split(/\?(.*)/s) : [addressOf(base, source)]
  const pairs = query.split('&').filter((pair) => pair && nameOf(pair) !== PROCESS)
  if (pairs.some((pair) => SIGNED.includes(nameOf(pair)))) throw new Error(`${source}: is signed, and must stay as it is`)
  const text = process({ ...operations, process: [processOf(query), operations.process].filter(Boolean).join('|') })
  if (text) pairs.push(`${PROCESS}=${encoded(text).replaceAll('%2F', '/')}`)
  return pairs.length ? `${address}?${pairs.join('&')}` : address
}

/** The source and the operations of such a URL; what `process` would not write like that stays in `process`. */
export function parse(address) {
  const [source, query = ''] = String(address).split('#')[0].split(/\?(.*)/s)
  const pairs = query.split('&').filter((pair) => pair && nameOf(pair) !== PROCESS)
  const stages = processOf(query).split('|')
  const steps = Object.fromEntries(stages.at(-1).replace(/^image\//, '').split('/').map((step) => step.split(/,(.*)/s)))
  const resize = Object.fromEntries((steps.resize ?? '').split(',').map((pair) => pair.split('_')))
  const found = { width: Number(resize.w), height: Number(resize.h), background: resize.color, format: steps.format,
    fit: Object.keys(FITS).find((key) => FITS[key] === resize.m), quality: Number(steps.quality?.replace('Q_', '')) }
  const operations = Object.fromEntries(Object.entries(found).filter(([, value]) => value))
  const understood = isSame(operations, stages.at(-1))
  const before = (understood ? stages.slice(0, -1) : stages).join('|')
  return { source: [source, pairs.join('&')].filter(Boolean).join('?'),
    operations: { ...(understood && operations), ...(before && { process: before }) } }
}

function isSame(operations, text) {
  try { return process(operations) === text } catch { return false } // beyond the tables
}

function processOf(query) {
  const pair = query.split('&').find((one) => nameOf(one) === PROCESS)
  return decodeURIComponent(pair?.split(/=(.*)/s)[1] ?? '')
}

function addressOf(base, key) {
  const parts = key.replace(/^\//, '').split('/')
  if (parts.some((part) => part === '.' || part === '..')) throw new Error(`${key}: no URL leads to this key`)
  return `${base.replace(/\/$/, '')}/${parts.map(encoded).join('/')}`
}
