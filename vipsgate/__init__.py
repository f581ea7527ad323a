"""A self-hosted image edge server that speaks Alibaba Cloud OSS Image Processing.

The way of a request, and the module behind each step::

    front process (asyncio; never imports pyvips)
      -> web.connection        bytes -> a request; what is no HTTP is refused
      -> server.app            the conductor: calls what follows, words every error as OSS does
      -> delivery.fastpath     answered just now: the same answer again, if all is as it was
      -> gate.target           path and Host -> bucket, key, parameters
      -> api                   method and parameters -> one call of its table, or 501
      -> gate.access           signature, role, ACL of the bucket, Referer -> a grant, or 403
      -> delivery.resolve      styles; each object: there? its ACL? protected? -> 404 or 403
      -> image.process         process text -> actions and canonical text, or 400
      -> gate.conditional      304 and 412
      -> delivery.derivatives  an object as it is; a picture: cached, in the making, or made now
      -> cache.tiers           memory, then disk, then a bucket that a fleet shares
      -> store.base            opens the source and its overlays: descriptors
      -> renderers.pool        a free renderer, a bounded queue, or 503
    renderer process (libvips; no files, no network; one picture at a time; can be killed)
      -> worker.main           a job and descriptors in, a memfd out
      -> image.formats.probe   the header; no pixel is read
      -> image.plan            size and limits of every step, memory and time
      -> image.optimize        the same picture by fewer steps
      -> image.render          one lazy libvips pipeline
    front process
      -> cache.tiers           keeps the derivative
      -> web.responses         headers and body, by sendfile

The packages (each one's docstring gives its rule)::

    cli        the commands                       store      objects on disk and in object stores
    server     start, conductor, admin port       cache      derivatives, in memory and on disk
    api        OSS's calls, one table; XML        renderers  the pool of renderer processes
    delivery   from a request to bytes            worker     the renderer process itself
    web        aiohttp and sockets                image      actions, plan, libvips, formats
    gate       who may have what; pure            observe    metrics, access log, traces
    catalog    bucket documents and uploads       demo       the demo bucket and its tour

Beside them: settings (vipsgate.toml), buckets (one bucket's document), build (settings -> a store),
errors (OSS's error codes, one tree).
"""

__version__ = "0.2.0"
