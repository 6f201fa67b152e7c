import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

const seconds = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 10, 30, 120, 600]

/**
 * Every metric of Berth. `upstream` is an upstream's prefix, or its host where the prefix is empty;
 * `kind` is blob, manifest or tag; `result` is hit, miss, coalesced, stale, bypass or error;
 * `route` is a line of the route table, never a path.
 */
export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  const counter = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ) => new Counter({ name, help, labelNames, registers })
  const gauge = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ) => new Gauge({ name, help, labelNames, registers })
  const histogram = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
  ) => new Histogram({ name, help, labelNames, registers, buckets: seconds })

  const scrapeListeners: (() => void)[] = []

  return {
    /** What is set here is set anew before each scrape. */
    onScrape: (listener: () => void) => void scrapeListeners.push(listener),
    /** The exposition format's text, and its content type. */
    contentType: registry.contentType,
    text: (): Promise<string> => {
      for (const listener of scrapeListeners) listener()
      return registry.metrics()
    },

    cacheRequests: counter(
      'berth_cache_requests_total',
      'Requests to proxied repositories, by how the cache answered.',
      ['upstream', 'kind', 'result'],
    ),
    cacheBytes: counter(
      'berth_cache_bytes_total',
      'Bytes of proxied content: source "cache" went to clients, source "upstream" was fetched. The difference is what the cache saved.',
      ['upstream', 'kind', 'source'],
    ),
    cacheSize: gauge(
      'berth_cache_size_bytes',
      'Bytes on disk in the cache, running fills included.',
    ),
    cacheLimit: gauge('berth_cache_limit_bytes', 'The cache is kept below this many bytes.'),
    cacheBlobs: gauge('berth_cache_blobs', 'Blobs and manifests in the cache.'),
    cacheEvictions: counter(
      'berth_cache_evictions_total',
      'Blobs removed from the cache to make room.',
    ),
    cacheCorruptions: counter(
      'berth_cache_corruptions_total',
      'Files of the cache whose bytes were no longer theirs, removed.',
    ),
    cacheFailures: counter(
      'berth_cache_storage_failures_total',
      'Writes to the cache that failed, so that bytes streamed through uncached.',
    ),
    digestMismatches: counter(
      'berth_digest_mismatch_total',
      'Bodies of an upstream that did not have the digest or size asked for.',
      ['upstream'],
    ),

    fillsInFlight: gauge(
      'berth_fills_in_flight',
      'Downloads of blobs from upstreams that are running.',
    ),
    fillResumes: counter(
      'berth_fill_resumes_total',
      'Downloads of blobs that broke and were resumed.',
      ['upstream'],
    ),
    fillRanges: counter(
      'berth_fill_ranges_total',
      'Ranges that were fetched ahead of a running download.',
      ['upstream'],
    ),
    upstreamRequests: counter(
      'berth_upstream_requests_total',
      'Requests to upstreams, by status ("error" when there was none).',
      ['upstream', 'status'],
    ),
    upstreamDuration: histogram(
      'berth_upstream_duration_seconds',
      'Time until an upstream answered with headers.',
      ['upstream'],
    ),
    breakerOpen: gauge(
      'berth_breaker_open',
      '1 while the upstream is not asked because it failed or asked for quiet.',
      ['upstream'],
    ),
    tokenExpiry: gauge(
      'berth_token_expiry_timestamp_seconds',
      'When the credential for the upstream expires.',
      ['upstream'],
    ),
    tokenRefreshes: counter(
      'berth_token_refreshes_total',
      'Attempts to get a credential for the upstream.',
      ['upstream', 'outcome'],
    ),

    httpRequests: counter('berth_http_requests_total', 'Requests answered.', [
      'route',
      'method',
      'code',
    ]),
    httpDuration: histogram(
      'berth_http_duration_seconds',
      'Time from the request to the last byte of the answer.',
      ['route'],
    ),
    httpInFlight: gauge('berth_http_in_flight', 'Requests that are being answered.'),
    httpShort: counter(
      'berth_http_short_responses_total',
      'Answers cut off because their bytes could not be had or were wrong.',
    ),
    memory: gauge(
      'berth_memory_bytes',
      'Memory that is counted: estimated for use "caches", reserved for use "in_flight".',
      ['use'],
    ),
    memoryLimit: gauge('berth_memory_limit_bytes', 'What berth_memory_bytes stays below.', ['use']),
    auth: counter('berth_auth_total', 'Decisions of who may come in.', ['outcome']),
    htpasswdStale: gauge(
      'berth_htpasswd_stale',
      '1 while the htpasswd file cannot be used and the last good one is in force.',
    ),

    trustServed: gauge(
      'berth_trust_runtime_served',
      '1 for a container runtime of this node that trusts and finds the registry, 0 for one that does not.',
      ['runtime'],
    ),
    trustFiles: gauge('berth_trust_files', 'Files that berth trust keeps on this node.', [
      'runtime',
    ]),
    trustTroubles: gauge(
      'berth_trust_troubles',
      'What keeps a runtime of this node from trusting the registry; /status says what it is.',
      ['runtime'],
    ),
    trustChanges: counter(
      'berth_trust_changes_total',
      'Files of this node that berth trust has changed.',
      ['runtime', 'change'],
    ),
    trustAuthorityExpiry: gauge(
      'berth_trust_authority_expiry_timestamp_seconds',
      "When the certificate authority's certificate expires that runtimes are told to believe.",
      ['registry'],
    ),

    // Distribution's names, so that dashboards made for a registry in proxy mode go on working.
    proxyRequests: counter('registry_proxy_requests_total', 'Requests to proxied repositories.', [
      'type',
    ]),
    proxyHits: counter('registry_proxy_hits_total', 'Requests answered from the cache.', ['type']),
    proxyMisses: counter(
      'registry_proxy_misses_total',
      'Requests that asked the upstream for bytes.',
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
