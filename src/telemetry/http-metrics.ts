import type { MetricKinds } from './metric-kinds.ts'

/** Requests of clients, what they push, their logins, and memory. */
export function httpMetrics({ counter, gauge, preparedHistogram }: MetricKinds) {
  return {
    httpRequests: counter('berth_http_requests_total', 'Requests from clients.', [
      'route',
      'method',
      'code',
    ]),
    httpDuration: preparedHistogram(
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
  }
}
