/** All that Docker Hub is called: by people, by docker, and as a registry. */
export const dockerHubHosts: readonly string[] = [
  'docker.io',
  'index.docker.io',
  'registry-1.docker.io',
]

/** docker's name for it in its configuration, from before registries had hosts. */
export const dockerHubKey = 'https://index.docker.io/v1/'
