import type { MetricKinds } from './metric-kinds.ts'

/** Other programs than the server: the spooler, the operator and `berth trust`. */
export function programMetrics({ counter, foreignGauge, gauge }: MetricKinds) {
  return {
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
  }
}
