import type { MetricKinds } from './metric-kinds.ts'

/** Upstreams and other replicas: downloads, requests and credentials. */
export function upstreamMetrics({ counter, gauge, histogram }: MetricKinds) {
  return {
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
      'Blobs, manifests, tags and lists requested from the replica that owns them: found, absent or failed; the upstream is asked instead.',
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
  }
}
