import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { parse, stringify } from 'yaml'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { chart, find, matrix, render, threeValues } from '../support/chart.ts'
import { ownDirectory } from '../support/directory.ts'
import { attempt, run } from '../support/programs.ts'

const file = join(chart, 'files/alerts.yaml')
const { home } = parse(await readFile(join(chart, 'Chart.yaml'), 'utf8'))
/** Absolute: Alertmanager's messages are read elsewhere. */
const runbook = `${home}/blob/main/charts/berth/README.md`
const { groups } = parse(await readFile(file, 'utf8'))
const rules: readonly Rule[] = groups[0].rules

type Rule = {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels: { readonly severity: string }
  readonly annotations: Readonly<Record<string, string>>
}

/** Values of a series, one a minute, as promtool has them: `start+step x count`. */
type Series = Readonly<Record<string, string>>

const labels = 'job="berth",instance="10.0.0.1:9026"'
const upstream = `${labels},upstream="docker.io"`

/** Three hours in which all is well: some requests fail, some logins, and the cache is full. */
const healthy: Series = {
  [`up{${labels}}`]: '1x180',
  [`process_start_time_seconds{${labels}}`]: '1000x60 5000x119',
  [`berth_cache_limit_bytes{${labels}}`]: '1000x180',
  [`berth_cache_size_bytes{${labels}}`]: '900x180',
  [`berth_cache_blobs{${labels}}`]: '1000x180',
  [`berth_cache_evictions_total{${labels}}`]: '0+2x180',
  [`berth_cache_corruptions_total{${labels}}`]: '0x180',
  [`berth_cache_storage_failures_total{${labels}}`]: '0x180',
  [`berth_shared_cache_available{${labels}}`]: '1x60 0x3 1x116',
  [`berth_cache_requests_total{${upstream},kind="tag",result="hit"}`]: '0+60x180',
  [`berth_cache_requests_total{${upstream},kind="tag",result="stale"}`]: '0x60 0+1x5 5x114',
  [`berth_breaker_open{${upstream}}`]: '0x60 1x3 0x116',
  [`berth_upstream_requests_total{${upstream},status="200"}`]: '0+60x180',
  [`berth_upstream_requests_total{${upstream},status="503"}`]: '0+2x180',
  [`berth_upstream_duration_seconds_bucket{${upstream},le="1"}`]: '0+59x180',
  [`berth_upstream_duration_seconds_bucket{${upstream},le="30"}`]: '0+60x180',
  [`berth_upstream_duration_seconds_bucket{${upstream},le="+Inf"}`]: '0+60x180',
  [`berth_token_expiry_timestamp_seconds{${upstream}}`]: '3600+60x180',
  [`berth_token_refreshes_total{${upstream},outcome="success"}`]: '1+1x180',
  [`berth_token_refreshes_total{${upstream},outcome="failure"}`]: '0x60 1x119',
  [`berth_digest_mismatch_total{${upstream}}`]: '7x180',
  [`berth_http_requests_total{${labels},code="200"}`]: '0+100x180',
  [`berth_http_requests_total{${labels},code="502"}`]: '0+1x180',
  [`berth_http_short_responses_total{${labels}}`]: '0x30 2x149',
  [`berth_auth_total{${labels},outcome="wrong"}`]: '0+5x180',
  [`berth_htpasswd_stale{${labels}}`]: '0x60 1x3 0x116',
  [`berth_index_complete{${labels}}`]: '1x60 0x20 1x99',
  [`berth_hosted_writable{${labels}}`]: '1x60 0x3 1x116',
  [`berth_collection_runs_total{${labels},what="collection",outcome="confirm"}`]: '1x180',
  [`berth_quota_used_bytes{${labels},prefix="local"}`]: '80x60 95x5 80x114',
  [`berth_quota_limit_bytes{${labels},prefix="local"}`]: '100x180',
  [`berth_in_use_known{${labels}}`]: '1x60 0x20 1x99',
  [`berth_in_use_missing_images{${labels}}`]: '0x60 1x5 0x114',
  [`berth_spool_oldest_file_age_seconds{${labels}}`]: '0x60 0+60x20 0x99',
  [`berth_spool_registry_available{${labels}}`]: '1x60 0x5 1x114',
  [`berth_spool_writable{${labels}}`]: '1x60 0x5 1x114',
  [`berth_spool_failed_files{${labels}}`]: '0x180',
}

/** What makes each fire, in place of what is healthy; `undefined`: no such series. */
const troubles: Readonly<Record<string, Readonly<Record<string, string | undefined>>>> = {
  BerthAbsent: { [`berth_cache_limit_bytes{${labels}}`]: '1000x60 _x119' },
  BerthDown: {
    [`up{${labels}}`]: '1x120 0x60',
    [`berth_cache_limit_bytes{${labels}}`]: '1000x120 _x60',
  },
  BerthRestarting: { [`process_start_time_seconds{${labels}}`]: '1000x150 2000+600x29' },
  BerthUpstreamUnreachable: { [`berth_breaker_open{${upstream}}`]: '0x60 1x119' },
  BerthUpstreamErrors: {
    [`berth_upstream_requests_total{${upstream},status="429"}`]: '0x60 0+8x119',
  },
  BerthUpstreamSlow: {
    [`berth_upstream_duration_seconds_bucket{${upstream},le="1"}`]: '0+40x180',
  },
  BerthCredentialFailing: {
    [`berth_token_refreshes_total{${upstream},outcome="success"}`]: '1x180',
    [`berth_token_refreshes_total{${upstream},outcome="failure"}`]: '0x169 1x10',
  },
  BerthTokenExpiring: { [`berth_token_expiry_timestamp_seconds{${upstream}}`]: '3600x180' },
  BerthStale: {
    [`berth_cache_requests_total{${upstream},kind="tag",result="stale"}`]: '0x60 0+1x119',
  },
  BerthErrors: { [`berth_http_requests_total{${labels},code="502"}`]: '0x60 0+9x119' },
  BerthCutOff: { [`berth_http_short_responses_total{${labels}}`]: '0x150 0+1x29' },
  BerthWrongBytes: { [`berth_digest_mismatch_total{${upstream}}`]: '7x150 8x29' },
  BerthCorruption: { [`berth_cache_corruptions_total{${labels}}`]: '0x150 1x29' },
  BerthSharedCacheFailing: { [`berth_shared_cache_available{${labels}}`]: '1x60 0x119' },
  BerthStorageFailing: { [`berth_cache_storage_failures_total{${labels}}`]: '0x150 0+1x29' },
  BerthCacheTooSmall: { [`berth_cache_evictions_total{${labels}}`]: '0+20x180' },
  BerthUsersStale: { [`berth_htpasswd_stale{${labels}}`]: '0x60 1x119' },
  BerthLoginsFailing: { [`berth_auth_total{${labels},outcome="wrong"}`]: '0+40x180' },
  BerthIndexIncomplete: { [`berth_index_complete{${labels}}`]: '1x60 0x119' },
  BerthInUseUnknown: { [`berth_in_use_known{${labels}}`]: '1x60 0x119' },
  BerthImageInUseMissing: { [`berth_in_use_missing_images{${labels}}`]: '0x60 2x119' },
  BerthHostedNotWritable: { [`berth_hosted_writable{${labels}}`]: '1x60 0x119' },
  BerthCollectionNeedsConfirmation: {
    [`berth_collection_runs_total{${labels},what="collection",outcome="confirm"}`]: '1x150 2x29',
  },
  BerthQuotaNearlyUsed: {
    [`berth_quota_used_bytes{${labels},prefix="local"}`]: '80x60 95x119',
  },
  BerthSpoolWaiting: {
    [`berth_spool_oldest_file_age_seconds{${labels}}`]: '0x60 0+60x119',
  },
  BerthSpoolNotReady: { [`berth_spool_writable{${labels}}`]: '1x60 0x119' },
  BerthSpoolFailed: { [`berth_spool_failed_files{${labels}}`]: '0x60 1x119' },
}

/** Runs the rules over three hours. Whether what was expected of `expressions` at their ends came. */
async function promtool(
  directory: string,
  series: Readonly<Record<string, string | undefined>>,
  expected: readonly { readonly expr: string; readonly at: string; readonly value?: number }[],
) {
  const tests = join(directory, 'tests.yaml')
  const content = {
    rule_files: [file],
    evaluation_interval: '1m',
    tests: [
      {
        interval: '1m',
        input_series: Object.entries(series).flatMap(([name, values]) =>
          values === undefined ? [] : [{ series: name, values }],
        ),
        promql_expr_test: expected.map(({ expr, at, value }) => ({
          expr,
          eval_time: at,
          exp_samples: value === undefined ? [] : [{ labels: '{}', value }],
        })),
      },
    ],
  }
  await writeFile(tests, stringify(content))
  return attempt(['promtool', 'test', 'rules', tests])
}

test('promtool finds nothing wrong with the alerts', async () => {
  assert.match(await run(['promtool', 'check', 'rules', file]), /SUCCESS: \d\d rules found/)
})

test('no alert fires while all is well', async (t) => {
  const firing = 'count(ALERTS{alertstate="firing"})'
  const times = ['10m', '62m', '90m', '120m', '179m']
  const { status, output } = await promtool(
    await ownDirectory(t),
    healthy,
    times.map((at) => ({ expr: firing, at })),
  )
  assert.equal(status, 0, output)
})

suite('an alert fires when it should, and was quiet before', { concurrency: 2 }, () => {
  for (const { alert } of rules)
    test(alert, async (t) => {
      const trouble = troubles[alert]
      assert.ok(trouble, 'nothing makes it fire')
      const firing = `count(ALERTS{alertname="${alert}",alertstate="firing"})`
      const { status, output } = await promtool(await ownDirectory(t), { ...healthy, ...trouble }, [
        { expr: firing, at: '5m' },
        { expr: firing, at: '178m', value: 1 },
      ])
      assert.equal(status, 0, output)
    })

  test('and there is trouble for none that there is not', () => {
    assert.deepEqual(
      Object.keys(troubles),
      rules.map(({ alert }) => alert),
    )
  })
})

suite('each alert', () => {
  test('says what it is, how bad, and where to read what to do', async () => {
    assert.ok(rules.length > 5)
    const readme = await readFile(join(chart, 'README.md'), 'utf8')
    for (const { alert, annotations, labels } of rules) {
      assert.ok(['critical', 'warning'].includes(labels.severity), alert)
      assert.ok(annotations['summary'], alert)
      assert.ok(annotations['description'], alert)
      assert.equal(annotations['runbook_url'], `${runbook}#${alert.toLowerCase()}`)
      const section = new RegExp(`^### ${alert}\\n\\n(.+)`, 'm').exec(readme)
      assert.ok((section?.[1] ?? '').length > 40, `nothing is said of ${alert}`)
    }
  })

  test('asks for metrics that there are', () => {
    for (const { alert, expr } of rules) assertMetrics(expr, alert)
  })

  test('is in the PrometheusRule, with the address of the runbook', async () => {
    const { spec } = find(await render(matrix['all that watches'] ?? {}), 'PrometheusRule')
    assert.deepEqual(
      spec.groups,
      JSON.parse(JSON.stringify(groups).replaceAll(runbook, 'https://example.com/runbook')),
    )
  })

  test("leads to the project's own runbook where no other is named", async () => {
    const values = { ...threeValues, metrics: { prometheusRule: { enabled: true } } }
    const { spec } = find(await render(values), 'PrometheusRule')
    assert.deepEqual(spec.groups, groups)
  })
})

suite('the dashboard', async () => {
  const text = await readFile(join(chart, 'files/dashboard.json'), 'utf8')

  test('asks for metrics that there are', () => {
    const { panels } = JSON.parse(text)
    assert.ok(panels.length > 5)
    for (const { title, targets = [] } of panels)
      for (const { expr } of targets) assertMetrics(expr, title)
  })

  test('is in its ConfigMap, as it is', async () => {
    const manifests = await render(matrix['all that watches'] ?? {})
    const { metadata, data } = find(manifests, 'ConfigMap', 'berth-dashboard')
    assert.equal(metadata.namespace, 'monitoring')
    assert.equal(metadata.labels?.['grafana_dashboard'], '1')
    assert.equal(metadata.annotations?.['folder'], 'Images')
    assert.deepEqual(JSON.parse(data['berth.json']), JSON.parse(text))
  })
})

/** Every name in the expression is one of Berth's, with the labels that it is asked by. */
function assertMetrics(expression: string, whose: string): void {
  const declared = new Map(
    Object.values(createMetrics()).flatMap((value) =>
      typeof value === 'object' && 'labelNames' in value && 'name' in value
        ? [[String(value.name), value.labelNames as readonly string[]] as const]
        : [],
    ),
  )
  const names = [...expression.matchAll(/\b(berth_\w+)(?:\{([^}]*)\})?/g)]
  assert.ok(names.length > 0 || /\b(up|process_\w+|nodejs_\w+)\b/.test(expression), whose)
  const grouped = [...expression.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) =>
    list.split(/, */),
  )
  for (const [, name = '', selector = ''] of names) {
    const known = declared.get(name) ?? declared.get(name.replace(/_bucket$/, ''))
    assert.ok(known, `${whose}: there is no ${name}`)
    const selected = [...selector.matchAll(/(\w+)(?==|!=|=~|!~)/g)].map(([, label = '']) => label)
    for (const label of [...selected, ...grouped])
      assert.ok(
        ['job', 'instance', 'le', ...known].includes(label),
        `${whose}: ${name} has no label ${label}`,
      )
  }
}
