/** What differs between Azure's clouds. */
type Cloud = {
  /** Entra's URL. */
  readonly authority: string
  /** What tokens used to be for, where a tenant does not know the registries' own service. */
  readonly resourceManager: string
}

const publicCloud: Cloud = {
  authority: 'https://login.microsoftonline.com',
  resourceManager: 'https://management.azure.com',
}

/** By how the hosts of their registries end. */
const others: Readonly<Record<string, Cloud>> = {
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
  const [, cloud] = Object.entries(others).find(([ending]) => hostname.endsWith(ending)) ?? []
  return cloud ?? publicCloud
}
