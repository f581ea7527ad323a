"""vipsgate: a self-hosted image edge server that speaks Alibaba Cloud OSS Image Processing."""

__version__ = "0.1.0"
