"""The OCI image-spec: names, documents, digests, the layout on disk, archives."""
