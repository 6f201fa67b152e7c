/** A registry of Amazon, as its host name describes it. */
export type EcrRegistry =
  | { readonly kind: 'public' }
  | {
      readonly kind: 'private'
      /** The owner of the registry, which may be another account than ours; undefined if the name does not contain it. */
      readonly account?: string | undefined
      readonly region: string
      readonly fips: boolean
      readonly dualStack: boolean
    }

type Partition = {
  readonly name: string
  readonly regions: RegExp
  /** Of the host names of registries and services. */
  readonly suffix: string
  /** Of the host names of registries that also have IPv6 addresses. */
  readonly dualStack?: string
}

/** AWS's partitions, whose accounts are separate, except the commercial one. */
const partitions: readonly Partition[] = [
  {
    name: 'aws-cn',
    regions: /^cn-/,
    suffix: 'amazonaws.com.cn',
    dualStack: 'on.amazonwebservices.com.cn',
  },
  { name: 'aws-us-gov', regions: /^us-gov-/, suffix: 'amazonaws.com', dualStack: 'on.aws' },
  {
    name: 'aws-eusc',
    regions: /^eusc-/,
    suffix: 'amazonaws.eu',
    dualStack: 'on.amazonwebservices.eu',
  },
  { name: 'aws-iso', regions: /^us-iso-/, suffix: 'c2s.ic.gov' },
  { name: 'aws-iso-b', regions: /^us-isob-/, suffix: 'sc2s.sgov.gov' },
  { name: 'aws-iso-e', regions: /^eu-isoe-/, suffix: 'cloud.adc-e.uk' },
  { name: 'aws-iso-f', regions: /^us-isof-/, suffix: 'csp.hci.ic.gov' },
]
const commercial = {
  name: 'aws',
  regions: /^/,
  suffix: 'amazonaws.com',
  dualStack: 'on.aws',
} satisfies Partition

/** The host names of ECR Public, and the only region that issues tokens for it. */
const publicHosts = new Set(['public.ecr.aws', 'ecr-public.aws.com'])
export const publicRegion = 'us-east-1'

/**
 * Parses `ACCOUNT.dkr.ecr.REGION.SUFFIX`, its FIPS and dual-stack forms, and ECR Public; undefined for
 * all other hosts. A port is ignored.
 */
export function parseEcrHost(host: string): EcrRegistry | undefined {
  const name = host.replace(/:\d+$/, '')
  if (publicHosts.has(name)) return { kind: 'public' }
  const [, account, separator, fips, region = '', suffix] =
    /^(\d{12})\.dkr([.-])ecr(-fips)?\.([a-z]+(?:-[a-z]+)+-\d+)\.([a-z0-9.-]+)$/.exec(name) ?? []
  const dualStack = separator === '-'
  const partition = partitionOf(region)
  const expected = dualStack ? partition.dualStack : partition.suffix
  if (suffix === undefined || suffix !== expected) return undefined
  return { kind: 'private', account, region, fips: fips !== undefined, dualStack }
}

export function partitionOf(region: string): Partition {
  return partitions.find(({ regions }) => regions.test(region)) ?? commercial
}
