using System.Globalization;
using System.Text;
using KvStore.Protocol;

namespace KvStore.LoadTests.Fuzz;

/// <summary>Valid bytes of each port, to be changed: requests, and the frames that come before and between them.</summary>
internal static class FuzzInputs
{
    /// <summary>Whole requests, one each.</summary>
    public static IReadOnlyList<byte[]> Rest { get; } =
    [
        Request("PUT", "/v1/kv/fuzz-a", "value"),
        Request("PUT", "/v1/kv/fuzz-a?if-none-match=*&timeout=2s", "value", "If-Match: \"1\", \"2\"", "Idempotency-Key: order-17", "Kv-Ack: all"),
        Request("GET", "/v1/kv/fuzz-a?consistency=bounded&max-staleness=500ms&max-lag=10"),
        Request("GET", "/v1/kv/%E2%82%AC%00%2F?consistency=session", null, "Kv-Session: AAAAAAAAAAAAAAAAAAAA", "Accept: application/json"),
        Request("GET", "/v1/b64/ZnV6ei1h", null, "If-None-Match: W/\"7\""),
        Request("HEAD", "/v1/kv/fuzz-a"),
        Request("DELETE", "/v1/kv/fuzz-b", null, "Idempotency-Key: 0190a0b0-0000-7000-8000-000000000000"),
        Request("POST", "/v1/incr/fuzz-c", "{\"by\":9007199254740993}", "Content-Type: application/json"),
        Request("POST", "/v1/incr/fuzz-c?by=-1&initial=5"),
        Request("POST", "/v1/append/fuzz-d", "more", "Kv-Timeout: 1s"),
        Request("POST", "/v1/txn", "{\"conditions\":[{\"key\":\"{f}a\",\"exists\":false}],\"operations\":[{\"op\":\"put\",\"key\":\"{f}a\",\"value\":\"1\"}]}", "Content-Type: application/json"),
        Request("POST", "/v1/batch", "{\"items\":[{\"op\":\"put\",\"key\":\"fuzz-e\",\"value\":\"1\"},{\"op\":\"get\",\"key\":\"fuzz-e\"}]}", "Content-Type: application/json"),
        Request("GET", "/v1/explain/kv/fuzz-a"),
        Request("GET", "/v1/session"),
        Request("GET", "/v1/topology"),
        Request("GET", "/health/ready"),
        Request("GET", "/openapi/v1.json", null, "Host: localhost", "Expect: 100-continue", "Transfer-Encoding: chunked"),
        Encoding.ASCII.GetBytes("PUT /v1/kv/fuzz-f HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n"),
    ];

    /// <summary>Payloads of request frames, in every operation's own form and in that of the first builds.</summary>
    public static IReadOnlyList<(FrameKind Kind, byte[] Payload)> Binary { get; } = [.. Operations().Concat(Control())];

    /// <summary>Payloads of hellos: the first frame of a connection.</summary>
    public static IReadOnlyList<byte[]> Hellos { get; } =
    [
        Written(frame => HelloCodec.Encode(frame, new ClientHello())),
        Written(frame => HelloCodec.Encode(frame, new ClientHello { ClusterId = "test", ClientName = "n2", Features = FeatureBits.Streams, Credentials = new byte[32] })),
    ];

    /// <summary>Hello of a node, as far as a stranger can say it.</summary>
    public static PeerHello PeerHello(string clusterId, string self, string target, Mutator mutator) => new()
    {
        ClusterId = clusterId,
        NodeName = self,
        NodeId = new NodeId((uint)mutator.Next(5)),
        Uuid = Guid.Parse("00000000-0000-4000-8000-000000000001"),
        Incarnation = mutator.Next(4) == 0 ? 1UL << 62 : (ulong)mutator.Next(100),
        Process = (ulong)mutator.Next(int.MaxValue),
        LayoutHash = new byte[32],
        ExpectedPeer = target,
        Level = (ushort)mutator.Next(4),
    };

    public static byte[] Frame(FrameKind kind, ReadOnlySpan<byte> payload, ulong sequence = 0)
    {
        var frames = new FrameWriter();
        frames.Write(kind, FrameFlags.None, sequence, payload);
        byte[] bytes = frames.Written.ToArray();
        frames.Release();
        return bytes;
    }

    public static byte[] Written(Action<FrameWriter> write)
    {
        var frames = new FrameWriter();
        frames.Begin(FrameKind.Hello, FrameFlags.None, 0);
        write(frames);
        frames.TryEnd(Limits.MaxRequestBytes);
        byte[] bytes = frames.Written.ToArray()[FrameHeader.SizeBytes..];
        frames.Release();
        return bytes;
    }

    private static IEnumerable<(FrameKind, byte[])> Operations()
    {
        byte[] key = "fuzz-g"u8.ToArray();
        Operation[] operations = [new Get(key), new Put(key, "value"u8, "text/plain"), new Delete(key), new Increment(key, 1), new Append(key, "more"u8), new GetRouting(0)];
        foreach (var operation in operations)
        {
            var request = new KvRequest
            {
                Operation = operation,
                TimeoutMs = 1000,
                Id = operation is WriteOperation ? new RequestId(77, 1, 0, 0) : null,
                Read = new ReadTerms { Level = ReadLevel.Bounded, MaxStalenessMs = 100 },
            };
            yield return (FrameKind.Request, Written(frame => KvRequestCodec.Encode(frame, request)));
        }
    }

    private static IEnumerable<(FrameKind, byte[])> Control()
    {
        yield return (FrameKind.Ping, []);
        yield return (FrameKind.Credit, [0xce, 0, 1, 0, 0]);
        yield return (FrameKind.Cancel, []);
        yield return (FrameKind.PeerBatch, [0x93, 1, 0x90, 0xc0]);
    }

    private static byte[] Request(string method, string target, string? body = null, params string[] headers)
    {
        string host = headers.Any(header => header.StartsWith("Host:", StringComparison.Ordinal)) ? "" : "Host: localhost\r\n";
        string length = body is null ? "" : string.Create(CultureInfo.InvariantCulture, $"Content-Length: {body.Length}\r\n");
        return Encoding.ASCII.GetBytes($"{method} {target} HTTP/1.1\r\n{host}{length}{string.Concat(headers.Select(header => header + "\r\n"))}\r\n{body}");
    }
}
