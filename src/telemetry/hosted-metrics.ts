import type { MetricKinds } from './metric-kinds.ts'

/** Hosted repositories: their volume, index, quotas, collection and trash. */
export function hostedMetrics({ counter, gauge }: MetricKinds) {
  return {
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
  }
}
