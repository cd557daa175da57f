# Calls a greeter through the sidecar, with Ruby's standard library alone. The
# sidecar is MBUS_SIDECAR, by default http://127.0.0.1:8081.
#
#     ruby sidecar_client.rb [NAME [SERVICE]]

require "json"
require "net/http"

sidecar = URI(ENV.fetch("MBUS_SIDECAR", "").then { |s| s.empty? ? "http://127.0.0.1:8081" : s })
name, service = ARGV[0] || "John", ARGV[1] || "go.micro.srv.greeter"

begin
  response = Net::HTTP.post(URI.join(sidecar, "/rpc"),
                            JSON.generate(service: service, method: "Say.Hello", request: { name: name }),
                            "Content-Type" => "application/json")
rescue SystemCallError => e
  abort "the sidecar is away: #{e.message}"
end
answer = JSON.parse(response.body)
abort "#{answer["id"]}: #{response.code}: #{answer["detail"]}" unless response.is_a?(Net::HTTPSuccess)
puts answer["msg"]
