/** One of Azure's clouds. */
type Cloud = {
  /** The URL of Entra ID. */
  readonly authority: string
  /** The older audience of registry tokens, for tenants without the service of the registries. */
  readonly resourceManager: string
}

const publicCloud: Cloud = {
  authority: 'https://login.microsoftonline.com',
  resourceManager: 'https://management.azure.com',
}

/** By the suffix of the registries' host names. */
const sovereignClouds: Readonly<Record<string, Cloud>> = {
  '.azurecr.cn': {
    authority: 'https://login.chinacloudapi.cn',
    resourceManager: 'https://management.chinacloudapi.cn',
  },
  '.azurecr.us': {
    authority: 'https://login.microsoftonline.us',
    resourceManager: 'https://management.usgovcloudapi.net',
  },
}

/** The cloud of the registry at `origin`. */
export function cloudOf(origin: string): Cloud {
  const { hostname } = new URL(origin)
  const [, cloud] =
    Object.entries(sovereignClouds).find(([suffix]) => hostname.endsWith(suffix)) ?? []
  return cloud ?? publicCloud
}
