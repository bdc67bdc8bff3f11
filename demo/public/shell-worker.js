// Answers for the page's own files when the network does not: pages from the network first, their
// hashed files from the device first. It never sees an event; those go over the WebSocket.
self.addEventListener('install', () => self.skipWaiting())
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()))
self.addEventListener('fetch', (event) => {
  const { request } = event
  const { origin, pathname } = new URL(request.url)
  if (request.method !== 'GET' || origin !== self.location.origin) return
  if (request.mode === 'navigate') event.respondWith(fetchOrKept(request))
  else if (pathname.startsWith('/assets/') || pathname.endsWith('.svg')) {
    event.respondWith(keptOrFetch(request))
  }
})

const kept = (request) => caches.match(request, { ignoreSearch: true })
const fetchOrKept = (request) =>
  fetch(request).catch(async () => (await kept(request)) ?? Response.error())
const keptOrFetch = async (request) => (await kept(request)) ?? fetch(request)
