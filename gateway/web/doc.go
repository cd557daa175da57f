// Package web is the dashboard: what runs on the bus, how it is doing, and a way
// to touch it. It serves Micro's web UI too, and shows web apps.
//
//	b := gateway.NewBus(conn, gateway.BusConfig{From: web.Service})
//	dashboard, err := web.New(b, web.Config{})
//	edge, err := gateway.NewEdge(gateway.EdgeConfig{Name: web.Service, Hosts: web.Hosts(), Pages: web.Page, Public: web.Public})
//	...
//	server := gateway.NewServer(b, gateway.ServerConfig{Address: "127.0.0.1:8082", Handler: edge.Wrap(dashboard)})
//	err = bus.Run(ctx, 10*time.Second, b, dashboard, server)
//
// # Pages
//
// Every page answers HTML, JSON or text, as Accept asks; ?format=json and
// ?format=text ask likewise. Without an Accept header, or with */*, it is text.
// The HTML holds the JSON of the same page in <script type="application/json"
// id="boot">, wrapped as {"page":NAME,"status":200,"base":"/-/a/HASH","build":HASH,
// "version":TEXT,"theme":"auto|light|dark","links":{…},"data":JSON OF THE PAGE}.
// Times are Unix milliseconds in fields called at, since, started and last_seen,
// durations milliseconds in fields ending in _ms, rates per second. A number that
// is not known is null.
//
//	path                             page       JSON
//	/                                           redirects to /services
//	/services                        services   Services; ?q= &sort= &dir=desc &offset= &limit= (200; 0: all)
//	/services/{name}                 service    Service; tab with /endpoints /nodes /stats; stats: ?a= &b= &over=life
//	                                            compares two versions
//	/services/{name}/raw             service    Micro's Service objects: {"services":[…]}
//	/nodes                           nodes      Nodes; ?service= &q= &sort= &dir= &offset= &limit= (500; 0: all)
//	/nodes/{id}                      node       NodePage
//	/query[/{service}/{method}]      query      QueryPage; ?service= &method= &node= &req=BASE64URL
//	/topology                        topology   Topology; ?focus= &depth= &hide=a,b
//	/stats                           stats      Stats; ?range=15m &top=12 &service=
//	/events                          events     Events; ?subject=; with one of &seq= &before= &time= &last= what a
//	                                            stream has kept of it, &n=50 of a page (200) and &stream=
//	/terminal, /cli                  terminal   {"words":[{"word","usage","help"}]}
//	/webapps                         webapps    WebApps
//	/gateway                         gateway    GatewayPage; ?method= &path= &host= tries a route
//	/bus                             bus        BusPage
//	anything else                    missing    404: {"detail":TEXT,"near":[{"name","path"}],"ways":[{"name","path"}]}
//
// Micro's: /registry and /registry?service=NAME are the pages services and
// service; /registry, /query and /stats with the request header "Content-Type:
// application/json" answer Micro's JSON, {"services":[…]} or the counters. POST
// /rpc is [gateway.RPC]. /favicon.ico is the icon.
//
//	Row       {"id":7,"name","health":"down|degraded|starting|stale|ok","why":TEXT,"since","kind":"mbus|foreign|app",
//	           "own":true of the parts of mbus itself,
//	           "versions":[{"version","instances"}],"instances":4,"rps","p50_ms","p99_ms","errors_per_s",
//	           "error_percent","in_flight","load","last_seen","spark":[40 rates, null where unknown, one a second]}
//	Services  {"at","seq":12,"bus":Link,"totals":Totals,"series":Series of the last 180 s,
//	           "rows":[Row],"offset":0,"matched":2000}
//	Totals    {"services","instances","down","degraded","starting","stale","ok","rps","p99_ms","errors_per_s","in_flight"}
//	Series    {"t":[Unix seconds],"rps":[…],"p50_ms":[…],"p99_ms":[…],"errors_per_s":[…],"in_flight":[…]}
//	Link      {"connected":true,"since","url","rtt_ms","age_ms":since numbers came last,"pace_ms":how often they come,
//	           "error":TEXT}
//	Service   {"at","seq","bus":Link,"row":Row,"metadata":{},"endpoints":[Endpoint],"nodes":[Node],"series":Series of
//	           ?range= (15m),"endpoint_series":{METHOD:Series} of the tab stats, of the 24 methods with most
//	           requests,"by_version":[Version] likewise, where several run,"compare":Compare or left
//	           out,"callers":[Edge],"callees":[Edge],
//	           "errors":[{"at","node","method","text"}] the last 5,"gone":true if no node is left,"commands":Commands}
//	Version   {"version","instances","endpoints":[{"name","minute":Measured of the last minute,"life":Measured since its
//	           nodes have started}]}
//	Measured  {"calls","rps","errors_per_s","error_percent","p50_ms","p95_ms","p99_ms"}
//	Compare   {"a","b":"-" for a version that is empty,"over":"minute|life","note":why nothing is compared,
//	           "endpoints":[{"name","a":Measured or null,"b":likewise,"difference":Measured without calls: b less a}]}
//	Endpoint  {"name","kind":"unary|server|client|bidi","description","idempotent":bool,"timeout_ms","metadata":{},
//	           "subject","instances","request":JSON Schema or null,"response":the same,"request_tree":Micro's tree,
//	           "response_tree","example":JSON,"left_out":true where schemas were too long for the page: that of the
//	           query has them,"requests","errors","refused","rps","p50_ms","p99_ms","errors_per_s",
//	           "error_percent","last_error","debug":true of Debug.*,"commands":Commands}
//	Node      {"id":what people see,"instance":its own id,"service","version","kind","state":"ok|starting|draining|
//	           suspect|stale","address","started","last_seen","interval_ms","load","in_flight","rps","p99_ms",
//	           "errors_per_s","requests","errors","metadata":{} of 1 KiB at most but in NodePage,"memory","threads",
//	           "gc_ms","server","client","drains":true where it announces Debug.Drain}
//	Nodes     {"at","seq","bus":Link,"totals":Totals,"nodes":[Node],"offset","matched"}
//	NodePage  {"at","seq","bus":Link,"node":Node,"endpoints":[Endpoint],"health":"ok" or TEXT,"stats":answer of
//	           Debug.Stats or null,"error":TEXT,"commands":Commands}
//	QueryPage {"service","method","node","request":TEXT,"methods":[{"name","kind","debug"}],"endpoint":Endpoint or
//	           null,"nodes":[{"id","version","state"}],"near":[TEXT],"commands":Commands}; services come from /-/index
//	Topology  {"at","window_s":300,"nodes":[{"name","health","kind":"service|client|app","instances","rps"}],
//	           "edges":[Edge],"hidden":how many nodes are left out,"focus","depth"}
//	Edge      {"from","to","rps","errors_per_s","calls","source":"mbus|broker"}; from "?" is unknown callers, source
//	           broker says that the broker sees a subscription, and rps is null
//	Stats     {"at","range_s","step_s","t":[…],"total":Series without t,"services":[{"name",Series without t}],
//	           "rest":Series without t or null,"marks":[{"at","service","text"}],"process":{"started","uptime",
//	           "memory","threads","gc"},"kept":TEXT,"bytes":memory of the history}
//	Events    {"subject","subjects":[{"name","subscribers","rate","bytes_per_s","last"}],"more":0,"hidden":TEXT,
//	           "note":TEXT,"stored":Stored or null,"commands":Commands}
//	Stored    {"streams":[{"name","subjects","messages","bytes","first","last":sequences,"first_at","last_at"}] those
//	           that cover the subject,"note":why nothing is kept or read,"read":null or {"stream","events":[as of the
//	           topic events, "n" is the sequence],"earlier":?before= of the page before this or 0,"later":?seq= of the
//	           page after this or 0,"note":TEXT}}
//	WebApps   {"apps":[{"name","alias","title","icon","health","host_url","path_url","reserved":bool,"nodes":[Node],
//	           "error":{"at","node","text"} or null}]}
//	GatewayPage {"api":{"url","namespace"} or null,"sidecar":{"url"} or null,"routes":[{"methods":[…],"path","hosts",
//	           "service","method","kind","source":"route|name","rps","p99_ms","errors_per_s","curl"}],"more":0,
//	           "match":{"path","service","method","source","why","near":[…]} or null,"limits":{…},"commands":{…}}
//	BusPage   {"at","bus":Link,"me":{"server","client","name","max_payload","in","out"},"servers":[{"id","name",
//	           "version","cluster","host","port","started","connections","slow_consumers","in_msgs","out_msgs",
//	           "in_bytes","out_bytes","subscriptions","memory","cpu","cores","jetstream":bool}],"connections":[{"id",
//	           "server","name","lang","version","ip","port","account","started","rtt_ms","pending","in_msgs",
//	           "out_msgs","in_bytes","out_bytes","subscriptions","slow":bool,"services":[…],"instances":[…]}],
//	           "more_connections":0,"jetstream":{"streams":[{"name","subjects","messages","bytes","first","last",
//	           "consumers":[{"name","pending","ack_pending","redelivered"}]}],"memory","store","error":TEXT} or null,
//	           "hidden":[TEXT: what the account may not see and why]}
//	Commands  {"mbus":TEXT,"curl":TEXT,"go":TEXT}: the same from a shell; a key is missing where it makes no sense
//
// # Own endpoints
//
//	GET  /-/a/{hash}/{file}   the files of the app, for ever; another hash is 404
//	GET  /-/live              one stream of server-sent events, for all tabs of a browser: ?topics=a,b; services@12 and
//	                          nodes@12 begin after the delta 12, which is the seq of the page
//	POST /-/live              {"id":ID OF hello,"topics":[…]}: other topics for that stream; 204, 404 without it
//	GET  /-/index             {"services":[{"name","health","methods":[…]}],"more":0}: for palettes and pickers
//	POST /-/call              Call: a unary call; always 200 with an Envelope
//	GET  /-/stream            ?service= &method= &node= &request=: a stream as package live frames it: WebSocket or
//	                          server-sent events; a WebSocket without request sends the messages itself
//	POST /-/stream            {"service","method","node","request"}: server-sent events or NDJSON
//	POST /-/publish           {"topic","data","encoding":"text|base64","content_type","headers":{}}:
//	                          {"ok":true,"topic","bytes"} or {"ok":false,"code","detail"}
//	GET  /-/subscribers       ?topic=: {"topic","known":bool,"subscribers":n,"here":n}: who would get an event, and
//	                          how many tails of this dashboard would besides
//	POST /-/deregister        {"service","node"}: an app that was registered leaves the registry: NodeAnswer
//	POST /-/drain             {"service","node","drain":bool}: the node's Debug.Drain is called: NodeAnswer
//	POST /-/terminal          {"line":TEXT}: {"ok":bool,"output":TEXT,"error":TEXT,"clear":bool}
//	GET  /-/route             ?method= &path= &host=: the match of GatewayPage
//
//	NodeAnswer {"ok":true,"service","node","state":"draining" or left out}: the list of nodes shows it;
//	          {"ok":false,"service","node","code","detail"}: it was refused, or the list does not show it after 5 s
//	Call      {"service","method","node","request":JSON,"timeout_ms":5000,"headers":{},"idempotent":false}
//	Envelope  {"ok":true,"status":200,"instance","elapsed_ms","content_type","headers":{},"body":JSON, or "text" or
//	          "base64" of what is none,"bytes"}
//	          {"ok":false,"failure":"bus|nobody|service","status":503,"code":"unavailable","end":"nobody","detail":TEXT,
//	          "data":JSON,"instance","elapsed_ms","tried":[node ids],"near":[names],"retry":"safe|never|after=100"}
//
// failure says which of three things happened: the dashboard did not reach the
// bus; no node answered (end nobody, timeout, refused, cancelled: tried names who
// was asked); the service said no, with its code and detail. A request that is
// none is failure "request".
//
// # Live
//
// Every event of /-/live has the name of its kind and data of one JSON object with
// "topic". Its id is "RUN.SEQ" where SEQ grows by one with every change of any
// topic; a client that comes back with Last-Event-ID gets what it missed, or
// resync. A comment every 15 s says that the stream lives.
//
//	topic            event     data
//	-                hello     {"id","run","seq","at","build","interval_ms":1000}: first of all
//	-                resync    {"topic":T}: something was lost: fetch the JSON of what the page shows again
//	-                link      Link and "at": the connection to the bus was lost or is back, and every 5 s
//	services         services  {"topic","seq","prev","at","totals":Totals,"rows":[Row of new or changed ones],"gone":[ids],
//	                           "n":[[id,rps,p50_ms,p99_ms,errors_per_s,error_percent,in_flight]]}; a Row in rows has no
//	                           spark, the page appends the rate to its own, and again the last one where nothing came
//	svc:NAME         service   {"topic","at","row":Row without spark,"nodes":[Node] the first 500,"endpoints":[{"name","rps","p50_ms",
//	                           "p99_ms","errors_per_s","error_percent","requests","errors","last_error"}]}
//	versions:NAME    versions  {"topic","at","by_version":[Version]}, empty where one version runs
//	nodes            nodes     {"topic","seq","prev","at","totals":Totals,"nodes":[Node that is new or changed],"gone":[ids],
//	                           "n":[[id,load,in_flight,last_seen,rps,p99_ms,errors_per_s,memory,threads,gc_ms]]}
//	node:ID          node      {"topic","at","node":Node}
//	events:SUBJECT   events    {"topic","at","events":[{"n","at","subject","size","data","encoding":"text|base64","cut":bool,
//	                           "content_type","headers":{}}],"skipped":n in this second}: at most 50 a second
//	topology         topology  {"topic","at","edges":[Edge],"nodes":[…]} every 2 s
//	stats            stats     {"topic","at","total":{"rps","p50_ms","p99_ms","errors_per_s","in_flight"}}
//	bus              bus       BusPage without connections and jetstream, every 2 s
//
// seq of services and nodes counts that topic's own deltas and is the one in the
// JSON of its page; prev is the one before it. A page that has seq S ignores
// deltas up to S and fetches its JSON again when prev is greater than S.
//
// # Bounds
//
//	what                                  bound                       at the bound
//	streams of /-/live                    256                         503 with Retry-After
//	topics of a stream                    32, 8 of them events        400
//	messages that wait for a client       64, 1 MiB                   thrown away, resync
//	missed messages that come again       60                          resync
//	answers to $SRV.STATS a second        2,000                       asked less often
//	history                               48 MiB                      the endpoints asked least lose theirs
//	services that are gone                10 minutes, 2,000           the longest gone are forgotten
//	subjects of events                    1,000                       those idle for a minute go, or counted as more
//	subscriptions for all events          64                          the rest are not shown
//	events shown a second and subject     50, 64 KiB of each,         skipped, and counted
//	                                      400 KiB of all
//	events of a stream on a page          200, 1 MiB, 64 KiB of each  the rest is on the next page
//	work for such a page                  3 s, 8 MiB, 1,000 requests  it ends early, and says so
//	methods of a service that went        one hour, 4,096             forgotten
//	versions in a row                     16                          those of the fewest instances are left out
//	schemas and examples on a page        4 MiB                       left_out
//	versions counted apart, of a service  8, 200 methods of each      those with fewest nodes are not
//	connections shown                     1,000                       counted as more
//
// # Streams
//
// What a stream has kept is read message by message, without a consumer: nothing
// is left behind, and nothing of a work queue is taken. A page may be read by who
// may subscribe to its subject.
//
// # Web apps
//
// A service go.micro.web.NAME that is registered with an address is shown at
// http://NAME.localhost:PORT/, an origin of its own. The path form /NAME/ is on
// the origin of the dashboard: what comes from the app is sandboxed there
// (Content-Security-Policy: sandbox allow-scripts allow-forms), so that its
// scripts have an opaque origin. What they send carries "Origin: null", and the
// Edge refuses it as it does every other site's: an app that posts or fetches
// needs its own host. The header X-Micro-Web-Base-Path tells the app its prefix.
// Cookies of the dashboard never reach an app. The names of pages are reserved:
// such an app has its host only.
package web
