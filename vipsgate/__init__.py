"""vipsgate: a self-hosted image edge server that speaks Alibaba Cloud OSS Image Processing.

The way of a request, and who has which right on it::

    HTTP -> gate.target -> api -> gate.access -> picture -> image.process -> renderers -> answer
            '-- pure --'  table  '-- pure --'    looks     '-- pure ----'      |
                                                 into store, awaits            v
            renderer (a process):  image.probe -> image.plan -> image.render

* :mod:`vipsgate.gate` decides what is asked and whether it may be had. It never waits.
* :mod:`vipsgate.image` knows pictures: text to actions, arithmetic on frames, one lazy libvips
  pipeline. It opens nothing and waits for nothing; pixels move only in a renderer process.
* :mod:`vipsgate.store` knows bytes by bucket and key. It knows no pictures.
* :mod:`vipsgate.api` has a handler for each call of OSS's, and one table of them all.
* :mod:`vipsgate.connection` reads requests and closes connections, on top of aiohttp's server;
  :mod:`vipsgate.framing` says where a request begins and ends, and what is none.
* :mod:`vipsgate.app` is the one conductor; :mod:`vipsgate.house` is what the handlers work with;
  :mod:`vipsgate.picture` is the way from a request to bytes, for all who answer with some;
  :mod:`vipsgate.documents` and :mod:`vipsgate.uploads` are what we keep in the store ourselves.
* :mod:`vipsgate.sniffer` tells which objects are pictures, where protection of all of them asks.
* :mod:`vipsgate.turns` says when a new picture begins, :mod:`vipsgate.admission` what may wait for
  a renderer, :mod:`vipsgate.throttle` when whoever may not is told so.
* :mod:`vipsgate.explain` says why an answer is what it is, on the admin port.
* :mod:`vipsgate.observe` notes what requests come to: metrics, and what else is seen from outside.
* :mod:`vipsgate.renderers` hands the work to :mod:`vipsgate.renderer`, the only place that joins
  the image room to a process; :mod:`vipsgate.easel` has it paint what no object is the source of.

The process that talks to the network never imports pyvips.
"""

__version__ = "0.1.0"
