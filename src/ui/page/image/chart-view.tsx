import type { Manifest } from '../../../api/answers.ts'
import { Notice } from '../parts/message.tsx'
import { Fact } from './image-facts.tsx'

type ChartProps = { readonly chart: NonNullable<Manifest['chart']> }

/** A Helm chart, as its Chart.yaml describes it. */
export function ChartView({ chart }: ChartProps) {
  const { dependencies } = chart
  return (
    <>
      {chart.problem !== undefined && <Notice>{chart.problem}</Notice>}
      {chart.description !== undefined && <p class="lead">{chart.description}</p>}
      <dl class="facts">
        {chart.name !== undefined && <Fact name="Chart">{chart.name}</Fact>}
        {chart.version !== undefined && <Fact name="Version">{chart.version}</Fact>}
        {chart.appVersion !== undefined && <Fact name="App version">{chart.appVersion}</Fact>}
        {chart.type !== undefined && <Fact name="Type">{chart.type}</Fact>}
        {chart.keywords.length > 0 && (
          <Fact name="Keywords">
            {chart.keywords.map((word) => (
              <span key={word} class="badge">
                {word}
              </span>
            ))}
          </Fact>
        )}
        {chart.home !== undefined && (
          <Fact name="Home">
            <code>{chart.home}</code>
          </Fact>
        )}
        {chart.sources.length > 0 && (
          <Fact name="Sources">
            {chart.sources.map((source) => (
              <code key={source}>{source}</code>
            ))}
          </Fact>
        )}
      </dl>
      {dependencies.length > 0 && (
        <table class="pairs">
          <caption>Dependencies</caption>
          <tbody>
            {dependencies.map(({ name, version, repository }) => (
              <tr key={`${name} ${repository}`}>
                <th scope="row">
                  {name} {version}
                </th>
                <td>{repository}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  )
}
