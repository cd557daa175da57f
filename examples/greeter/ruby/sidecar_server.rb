# The greeter as a small JSON-RPC server that the sidecar puts on the bus, with
# Ruby's standard library alone. The sidecar is MBUS_SIDECAR, by default
# http://127.0.0.1:8081.
#
#     ruby sidecar_server.rb
#     mbus query ruby.micro.srv.greeter Say.Hello '{"name":"John"}'

require "json"
require "net/http"
require "securerandom"
require "socket"

NAME = "ruby.micro.srv.greeter"
NODE = "#{NAME}-#{SecureRandom.uuid}"
SIDECAR = URI(ENV.fetch("MBUS_SIDECAR", "").then { |s| s.empty? ? "http://127.0.0.1:8081" : s })
RENEW = 10 # seconds between registrations, so that a registry that was lost knows it again

METHODS = {
  "Say.Hello" => ->(request) { { msg: "#{NODE}: Hello #{request["name"]}" } }
}.freeze

# Answers {"method", "params": [request], "id"} with {"id", "result", "error"}.
def answer(body)
  call = JSON.parse(body)
  method = METHODS.fetch(call["method"]) { raise "there is no #{call["method"]}" }
  { id: call["id"], result: method.call(call["params"][0]), error: nil }
rescue StandardError => e
  { id: call.is_a?(Hash) ? call["id"] : nil, result: nil, error: e.message }
end

# Serves one connection for as many requests as come on it.
def serve(socket)
  while (line = socket.gets("\r\n"))
    fields = {}
    while (field = socket.gets("\r\n")&.chomp("\r\n")) && !field.empty?
      key, value = field.split(":", 2)
      fields[key.downcase] = value.to_s.strip
    end
    socket.write("HTTP/1.1 100 Continue\r\n\r\n") if fields["expect"] == "100-continue"
    post = line.start_with?("POST ")
    body = post ? JSON.generate(answer(socket.read(fields["content-length"].to_i))) : ""
    socket.write("HTTP/1.1 #{post ? "200 OK" : "405 Method Not Allowed"}\r\nContent-Type: application/json\r\n" \
                 "Content-Length: #{body.bytesize}\r\n\r\n#{body}")
  end
rescue SystemCallError, IOError
  nil # the caller has gone
ensure
  socket.close
end

# Tells the sidecar that this server is there, or that it is not.
def registry(request, port)
  value = ->(name, field) { { name: name, type: name, values: [{ name: field, type: "string" }] } }
  request.content_type = "application/json"
  request.body = JSON.generate(
    name: NAME, version: "1.0.0", nodes: [{ id: NODE, address: "127.0.0.1", port: port }],
    endpoints: [{ name: "Say.Hello", request: value["HelloRequest", "name"], response: value["HelloResponse", "msg"] }]
  )
  response = Net::HTTP.start(SIDECAR.host, SIDECAR.port, open_timeout: 5, read_timeout: 5) { |http| http.request(request) }
  return true if response.is_a?(Net::HTTPSuccess)

  warn "greeter: #{request.method} /registry: #{response.code}: #{response.body}"
  false
rescue SystemCallError, IOError, Timeout::Error => e
  warn "greeter: the sidecar is away: #{e.message}"
  false
end

server = TCPServer.new("127.0.0.1", 0)
port = server.addr[1]
Thread.new { loop { Thread.new(server.accept) { |socket| serve(socket) } } }

stop = Queue.new
%w[INT TERM].each { |name| trap(name) { stop << name } }
$stdout.sync = true
puts NODE
until stop.length.positive?
  wait = registry(Net::HTTP::Post.new("/registry"), port) ? RENEW : 0.5
  deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + wait
  sleep 0.05 while stop.empty? && Process.clock_gettime(Process::CLOCK_MONOTONIC) < deadline
end
registry(Net::HTTP::Delete.new("/registry"), port)
