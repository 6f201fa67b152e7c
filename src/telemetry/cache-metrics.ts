import type { MetricKinds } from './metric-kinds.ts'

/** The cache of proxied repositories, its bucket, and what is in use and downloaded before it is asked for. */
export function cacheMetrics({ counter, foreignGauge, gauge }: MetricKinds) {
  return {
    cacheRequests: counter(
      'berth_cache_requests_total',
      'Requests to proxied repositories, by result of the cache lookup.',
      ['upstream', 'kind', 'result'],
    ),
    cacheBytes: counter(
      'berth_cache_bytes_total',
      'Bytes of proxied content: source "cache" was sent to clients and other replicas, other sources, such as "upstream", "replica" and "bucket", are where it was fetched. The cache saved the difference.',
      ['upstream', 'kind', 'source'],
    ),
    cacheSize: gauge(
      'berth_cache_size_bytes',
      'Disk space that the cache uses, including running downloads.',
    ),
    cacheLimit: gauge('berth_cache_limit_bytes', 'Maximum size of the cache.'),
    cacheBlobs: gauge('berth_cache_blobs', 'Number of blobs and manifests in the cache.'),
    cachePinned: gauge(
      'berth_cache_pinned_bytes',
      'Bytes of pinned images, which are not evicted.',
    ),
    inUseImages: gauge('berth_in_use_images', 'Number of image references that workloads name.'),
    inUseMissing: gauge(
      'berth_in_use_missing_images',
      'Number of images in use that are gone from their registry.',
    ),
    inUseKnown: gauge(
      'berth_in_use_known',
      'Whether it is known which images are in use (1) or not (0). While it is not known, nothing is deleted.',
    ),
    warmUpImages: counter(
      'berth_warm_up_images_total',
      'Images that workloads name and that were downloaded before a node asked for them, by result: stored or failed. An image that fails is tried again and counted again.',
      ['result'],
    ),
    warmUpBytes: counter(
      'berth_warm_up_bytes_total',
      'Bytes that these images lacked in the cache when they were stored.',
    ),
    warmUpWaiting: gauge(
      'berth_warm_up_waiting_images',
      'Number of images that wait to be looked at or downloaded.',
    ),
    cacheEvictions: counter(
      'berth_cache_evictions_total',
      'Blobs evicted from the cache to free space.',
    ),
    cacheCorruptions: counter(
      'berth_cache_corruptions_total',
      'Files evicted from the cache because they were corrupt.',
    ),
    sharedCacheReads: counter(
      'berth_shared_cache_reads_total',
      'Blobs that were looked for in the bucket of the cache, by result: "hit", "miss", "failed", "wrong" (bytes), or "skipped" because the bucket fails.',
      ['result'],
    ),
    sharedCacheUploads: counter(
      'berth_shared_cache_uploads_total',
      'Blobs for the bucket of the cache, by result: "stored", "exists", "failed", "dropped" because too many wait, or "skipped" because the bucket denies writes.',
      ['result'],
    ),
    sharedCacheWaiting: foreignGauge(
      'berth_shared_cache_waiting_blobs',
      'Blobs that wait for their upload to the bucket of the cache.',
    ),
    sharedCacheAvailable: foreignGauge(
      'berth_shared_cache_available',
      '1 if the bucket of the cache can be read and written, otherwise 0.',
    ),
    cacheFailures: counter(
      'berth_cache_storage_failures_total',
      'Failed writes to the cache; the content is sent to clients without being cached.',
    ),
    digestMismatches: counter(
      'berth_digest_mismatch_total',
      'Response bodies of an upstream with a wrong digest or size.',
      ['upstream'],
    ),
    // Distribution's names, so that dashboards for its proxy mode work.
    proxyRequests: counter('registry_proxy_requests_total', 'Requests to proxied repositories.', [
      'type',
    ]),
    proxyHits: counter('registry_proxy_hits_total', 'Requests answered from the cache.', ['type']),
    proxyMisses: counter(
      'registry_proxy_misses_total',
      'Requests that fetched content from the upstream.',
      ['type'],
    ),
    proxyPulledBytes: counter(
      'registry_proxy_pulled_bytes_total',
      'Bytes fetched from upstreams.',
      ['type'],
    ),
    proxyPushedBytes: counter('registry_proxy_pushed_bytes_total', 'Bytes sent to clients.', [
      'type',
    ]),
  }
}
