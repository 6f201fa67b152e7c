import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { createCounter } from './counter.ts'

const seconds = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 10, 30, 120, 600]

/**
 * All metrics of Berth, in one table: hence the length. `upstream` is an upstream's prefix, or its host where the prefix is empty;
 * `kind` is blob, manifest or tag; `result` is hit, miss, coalesced, stale, bypass or error;
 * `route` is a line of the route table, never a path.
 */
export function createMetrics({
  withoutZeros = false,
}: {
  withoutZeros?: boolean | undefined
} = {}) {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  const counter = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ) => createCounter({ name, help, labelNames, registers })
  const gauge = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ) => {
    const created = new Gauge({ name, help, labelNames, registers })
    if (withoutZeros && labelNames.length === 0) created.remove()
    return created
  }
  /** Of another program than the server, which has no value for it: a zero would raise an alert. */
  const foreignGauge = (name: string, help: string) => {
    const created = gauge(name, help)
    created.remove()
    return created
  }
  const histogram = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
  ) => new Histogram({ name, help, labelNames, registers, buckets: seconds })

  const scrapeListeners: (() => void)[] = []

  return {
    /** Calls the listener before each scrape, to set gauges. */
    onScrape: (listener: () => void) => void scrapeListeners.push(listener),
    /** Sets the gauges, for a reader other than a scrape. */
    refresh: (): void => {
      for (const listener of scrapeListeners) listener()
    },
    /** Content type of the exposition format. */
    contentType: registry.contentType,
    /** All metrics, or one of them. */
    text: (name?: string): Promise<string> => {
      for (const listener of scrapeListeners) listener()
      return name !== undefined && registry.getSingleMetric(name) !== undefined
        ? registry.getSingleMetricAsString(name)
        : registry.metrics()
    },

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
    hostedObjects: gauge(
      'berth_hosted_objects',
      'Number of blobs (manifests included), manifests, tags and repositories on the hosted volume.',
      ['kind'],
    ),
    hostedBytes: gauge('berth_hosted_bytes', 'Bytes of all blobs on the hosted volume.'),
    hostedWritable: gauge(
      'berth_hosted_writable',
      'Whether hosted repositories accept pushes (1) or not (0).',
    ),
    quotaUsed: gauge(
      'berth_quota_used_bytes',
      'Bytes of different blobs below a prefix that has a quota.',
      ['prefix'],
    ),
    quotaLimit: gauge('berth_quota_limit_bytes', 'Quota of a prefix.', ['prefix']),
    indexComplete: gauge(
      'berth_index_complete',
      'Whether the index of hosted repositories is complete (1) or not (0). While it is not, nothing is collected.',
    ),
    indexSize: gauge('berth_index_size_bytes', 'Size of the database of the index.'),
    indexVerification: gauge(
      'berth_index_verification_seconds',
      'Time that the last comparison of the index with the hosted volume took.',
    ),
    indexFailures: counter(
      'berth_index_failures_total',
      'Failures of the database of the index, after each of which it is opened or made again.',
      ['kind'],
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
      'Blobs for the bucket of the cache, by result: "stored", "exists", "failed", or "dropped" because too many wait.',
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
    collectionRuns: counter(
      'berth_collection_runs_total',
      'Runs over hosted repositories: "collection" of blobs, "retention" of tags, "undo". Outcome "waiting": it is not known what is needed; "confirm": it would remove more than a fifth.',
      ['what', 'outcome'],
    ),
    collectionLastRun: gauge(
      'berth_collection_last_run_timestamp_seconds',
      'Time of the last run with the outcome "done".',
      ['what'],
    ),
    collectionRemoved: counter(
      'berth_collection_removed_total',
      'Blobs, tags and manifests that collection and retention moved to the trash.',
      ['what'],
    ),
    collectionQueue: gauge(
      'berth_collection_queue_blobs',
      'Blobs that no manifest references and whose grace period is running.',
    ),
    trashBytes: gauge('berth_trash_bytes', 'Size of the trash after the last run.'),
    trashFreedBytes: counter('berth_trash_freed_bytes_total', 'Bytes deleted from the trash.'),
    digestMismatches: counter(
      'berth_digest_mismatch_total',
      'Response bodies of an upstream with a wrong digest or size.',
      ['upstream'],
    ),

    fillsInFlight: gauge('berth_fills_in_flight', 'Running downloads of blobs from upstreams.'),
    fillResumes: counter(
      'berth_fill_resumes_total',
      'Downloads of blobs that were resumed after an interruption.',
      ['upstream'],
    ),
    fillRanges: counter('berth_fill_ranges_total', 'Ranges fetched ahead of a running download.', [
      'upstream',
    ]),
    replicas: gauge('berth_replicas', 'Replicas of this registry that are known, with this one.'),
    replicaRequests: counter(
      'berth_replica_requests_total',
      'Blobs, manifests and tags requested from the replica that owns them: found, absent or failed; the upstream is asked instead.',
      ['outcome'],
    ),
    upstreamRequests: counter(
      'berth_upstream_requests_total',
      'Requests to upstreams, by status ("error": no response).',
      ['upstream', 'status'],
    ),
    upstreamDuration: histogram(
      'berth_upstream_duration_seconds',
      'Time from a request to an upstream to the headers of the response.',
      ['upstream'],
    ),
    breakerOpen: gauge(
      'berth_breaker_open',
      '1 while Berth sends no requests to the upstream, after failures or because the upstream throttles.',
      ['upstream'],
    ),
    tokenExpiry: gauge(
      'berth_token_expiry_timestamp_seconds',
      'Expiry time of the credential for the upstream.',
      ['upstream'],
    ),
    tokenRefreshes: counter(
      'berth_token_refreshes_total',
      'Attempts to obtain a credential for the upstream.',
      ['upstream', 'outcome'],
    ),

    httpRequests: counter('berth_http_requests_total', 'Requests from clients.', [
      'route',
      'method',
      'code',
    ]),
    httpDuration: histogram(
      'berth_http_duration_seconds',
      'Time from a request to the last byte of the response.',
      ['route'],
    ),
    httpInFlight: gauge('berth_http_in_flight', 'Requests in progress.'),
    httpShortResponses: counter(
      'berth_http_short_responses_total',
      'Responses that were cut off because their bytes were unavailable or wrong.',
    ),
    uploads: counter(
      'berth_uploads_total',
      'Pushes of blobs, by outcome: "stored", "mounted" from another repository, "canceled" or "failed".',
      ['outcome'],
    ),
    uploadBytes: counter(
      'berth_upload_bytes_total',
      'Bytes of blobs and manifests that clients pushed.',
    ),
    uploadBodies: gauge('berth_uploads_in_flight', 'Request bodies that are being received.'),
    manifestsPushed: counter('berth_manifests_pushed_total', 'Manifests that clients pushed.'),
    memory: gauge(
      'berth_memory_bytes',
      'Memory by use: estimated for "caches", reserved for "connections" and "in_flight".',
      ['use'],
    ),
    memoryLimit: gauge('berth_memory_limit_bytes', 'Maximum of berth_memory_bytes.', ['use']),
    auth: counter('berth_auth_total', 'Login attempts, by outcome.', ['outcome']),
    htpasswdStale: gauge(
      'berth_htpasswd_stale',
      '1 while the htpasswd file is invalid and the last valid version is in force.',
    ),
    serviceAccountsStale: gauge(
      'berth_service_accounts_stale',
      '1 while the API server or the issuer does not answer requests for keys or reviews of service account tokens.',
    ),

    spoolFiles: counter(
      'berth_spool_files_total',
      'Files that left the spool, by result: pushed, deleted or failed.',
      ['result'],
    ),
    spoolBytes: counter(
      'berth_spool_bytes_total',
      'Bytes of blobs that were sent to the registry.',
    ),
    spoolRetries: counter(
      'berth_spool_retries_total',
      'Attempts to push a file that failed for a reason that may pass.',
    ),
    spoolQueue: foreignGauge(
      'berth_spool_queue_files',
      'Files in the spool that are not pushed yet.',
    ),
    spoolOldest: foreignGauge(
      'berth_spool_oldest_file_age_seconds',
      'Age of the oldest file in the spool; 0 if it is empty.',
    ),
    spoolFailed: foreignGauge(
      'berth_spool_failed_files',
      'Files in failed/, for somebody to look at.',
    ),
    spoolWritable: foreignGauge(
      'berth_spool_writable',
      '1 if the spool can be read and written, otherwise 0.',
    ),
    spoolReady: foreignGauge(
      'berth_spool_registry_available',
      '1 if the registry accepts the credentials of the spooler, otherwise 0.',
    ),

    operatorReconciliations: counter(
      'berth_operator_reconciliations_total',
      'Turns of Registry resources in the operator, by result (success or error).',
      ['result'],
    ),
    operatorRegistries: gauge(
      'berth_operator_registries',
      'Number of Registry resources, by whether they are ready.',
      ['ready'],
    ),
    operatorLeader: foreignGauge(
      'berth_operator_leader',
      '1 if this replica of the operator is the one that works, otherwise 0.',
    ),

    trustRuntimes: gauge(
      'berth_trust_runtime_served',
      '1 if the container runtime of this node trusts and finds the registry, otherwise 0.',
      ['runtime'],
    ),
    trustFiles: gauge('berth_trust_files', 'Files that berth trust maintains on this node.', [
      'runtime',
    ]),
    trustProblems: gauge(
      'berth_trust_problems',
      'Problems that keep a container runtime of this node from trusting the registry; /status lists them.',
      ['runtime'],
    ),
    trustChanges: counter(
      'berth_trust_changes_total',
      'Changes of files by berth trust on this node.',
      ['runtime', 'change'],
    ),
    trustAuthorityExpiry: gauge(
      'berth_trust_authority_expiry_timestamp_seconds',
      "Expiry time of the certificate authority's certificate that container runtimes trust.",
      ['registry'],
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
