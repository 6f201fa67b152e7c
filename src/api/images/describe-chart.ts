import type { Manifest } from '../answers.ts'
import { createJsonReader } from '../json-parts.ts'

/** `Chart.yaml`, which the config of a Helm chart has as JSON. */
export function describeChart(
  chart: Readonly<Record<string, unknown>>,
): NonNullable<Manifest['chart']> {
  const read = createJsonReader()
  return {
    name: read.text(chart['name']),
    version: read.text(chart['version']),
    appVersion: read.text(chart['appVersion']),
    description: read.text(chart['description']),
    home: read.text(chart['home']),
    icon: read.text(chart['icon']),
    type: read.text(chart['type']),
    keywords: read.texts(chart['keywords']),
    sources: read.texts(chart['sources']),
    dependencies: read.list(chart['dependencies']).map((each) => {
      const dependency = read.object(each)
      return {
        name: read.text(dependency['name']) ?? '',
        version: read.text(dependency['version']),
        repository: read.text(dependency['repository']),
      }
    }),
  }
}
