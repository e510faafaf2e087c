using System.Buffers;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using KvStore.LoadTests.Servers;
using KvStore.Protocol;

namespace KvStore.LoadTests.Load;

/// <summary>The REST door: one HTTP/1.1 connection per request in flight.</summary>
/// <param name="nodes">Nodes to ask; the index in this list is the node of SendAsync.</param>
/// <param name="names">Names of all nodes of the cluster, sorted: what the numbers in the evidence mean.</param>
/// <param name="recording">
/// For a recorded history: the id of a write is sent as Idempotency-Key, and the reply says who served it. Without it requests
/// are those of an ordinary client and cost this side less.
/// </param>
internal sealed class RestClient(IReadOnlyList<NodeAddress> nodes, IReadOnlyList<string> names, bool recording) : IStoreClient
{
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(2);

    /// <summary>What the server's deadline is exceeded by before this side gives up.</summary>
    private const int GraceMs = 1000;

    private const string ServedBy = "Kv-Served-By";
    private const string Consistency = "Kv-Consistency";
    private const string Session = "Kv-Session";

    private static readonly MediaTypeHeaderValue OctetStream = new("application/octet-stream");

    private readonly HttpMessageInvoker _http = new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false,
        ConnectTimeout = ConnectTimeout,
        MaxConnectionsPerServer = int.MaxValue,
        ActivityHeadersPropagator = null,
        UseCookies = false,
        UseProxy = false,
    });

    public int NodeCount => nodes.Count;

    public async ValueTask<KvReply> SendAsync(int node, int lane, KvRequest request, ClientSession? session = null)
    {
        using var message = MessageOf(nodes[node].Http, request, session);
        using var deadline = new CancellationTokenSource(request.TimeoutMs + GraceMs);
        try
        {
            using var response = await _http.SendAsync(message, deadline.Token);
            byte[] body = await response.Content.ReadAsByteArrayAsync(deadline.Token);
            TakeToken(response, session);
            return ReplyOf(request, response, body);
        }
        catch (HttpRequestException e) when (e.HttpRequestError is HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError)
        {
            return new KvReply { Code = ErrorCode.NoLeader, Outcome = Outcome.NotApplied, Detail = e.Message };
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException)
        {
            return request.IsWrite
                ? new KvReply { Code = ErrorCode.Indeterminate, Outcome = Outcome.Unknown, Detail = e.Message }
                : new KvReply { Code = ErrorCode.Timeout, Detail = e.Message };
        }
    }

    public ValueTask DisposeAsync()
    {
        _http.Dispose();
        return ValueTask.CompletedTask;
    }

    private HttpRequestMessage MessageOf(Uri door, KvRequest request, ClientSession? session)
    {
        var uri = new Uri(door, "/v1/kv/" + Uri.EscapeDataString(Encoding.ASCII.GetString(request.Key.Span)));
        var message = new HttpRequestMessage(request.IsWrite ? HttpMethod.Put : HttpMethod.Get, uri);
        message.Headers.TryAddWithoutValidation("Kv-Timeout", string.Create(CultureInfo.InvariantCulture, $"{request.TimeoutMs}ms"));
        if (session is not null)
        {
            message.Headers.TryAddWithoutValidation(Session, session.Token.ToString());
        }

        if (!request.IsWrite)
        {
            AddLevel(message, request.Read);
            return message;
        }

        // The load generator writes by put only.
        message.Content = new ReadOnlyMemoryContent(((Put)request.Operation).Value);
        message.Content.Headers.ContentType = OctetStream;
        if (recording && request.Id is { } id)
        {
            message.Headers.TryAddWithoutValidation("Idempotency-Key", $"{id.Client:x32}-{id.Sequence}");
            message.Headers.TryAddWithoutValidation("Kv-First-Sent", id.FirstSentMs.ToString(CultureInfo.InvariantCulture));
        }

        return message;
    }

    private static void AddLevel(HttpRequestMessage message, ReadTerms read)
    {
        message.Headers.TryAddWithoutValidation(Consistency, ReadLevels.NameOf(read.Level));
        if (read.Level == ReadLevel.Bounded)
        {
            message.Headers.TryAddWithoutValidation(
                "Kv-Max-Staleness", string.Create(CultureInfo.InvariantCulture, $"{read.MaxStalenessMs}ms"));
        }

        if (read.OnUnmet != OnUnmet.Forward)
        {
            message.Headers.TryAddWithoutValidation("Kv-On-Unmet", ReadLevels.NameOf(read.OnUnmet));
        }
    }

    // Exactly as a browser would: the token that comes back is the one to send next.
    private static void TakeToken(HttpResponseMessage response, ClientSession? session)
    {
        if (session is null || HeaderOf(response, Session) is not { } text)
        {
            return;
        }

        session.GoOnWith(session.Parse(text));
    }

    private KvReply ReplyOf(KvRequest request, HttpResponseMessage response, byte[] body)
    {
        var evidence = recording ? EvidenceOf(response) : null;
        _ = ulong.TryParse(HeaderOf(response, "Kv-Revision"), NumberStyles.None, CultureInfo.InvariantCulture, out ulong revision);
        if (response.IsSuccessStatusCode)
        {
            return new KvReply
            {
                Result = request.IsWrite
                    ? new Written(revision, Created: (int)response.StatusCode == 201)
                    : new Found(revision, StoredOf(body)),
                Evidence = evidence,
            };
        }

        // Only an answer that touched a group says who served it; an unknown route is a 404, too.
        if ((int)response.StatusCode == 404 && response.Headers.NonValidated.Contains(ServedBy))
        {
            return new KvReply { Code = ErrorCode.KeyNotFound, Evidence = evidence };
        }

        // A revision beside a refusal is the current one, beside the rest that of a write which is there all the same.
        var problem = ProblemOf(body);
        Result? result = revision == 0 ? null
            : problem.Outcome == Outcome.Applied ? new Written(revision, Created: false)
            : new Current(revision);
        return problem with { Result = result, Evidence = evidence };
    }

    private static ReadOnlyMemory<byte> StoredOf(byte[] value)
    {
        var stored = new ArrayBufferWriter<byte>(StoredValue.LengthOf(null, value));
        StoredValue.Write(stored, null, value);
        return stored.WrittenMemory;
    }

    private static KvReply ProblemOf(byte[] body)
    {
        try
        {
            using var document = JsonDocument.Parse(body);
            var problem = document.RootElement;
            return new KvReply
            {
                Code = Enum.Parse<ErrorCode>(problem.GetProperty("code").GetString()!),
                Outcome = problem.GetProperty("outcome").GetString() switch
                {
                    "not-applied" => Outcome.NotApplied,
                    "applied" => Outcome.Applied,
                    "unknown" => Outcome.Unknown,
                    _ => Outcome.None,
                },
                Detail = problem.GetProperty("detail").GetString(),
            };
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or ArgumentException)
        {
            return new KvReply { Code = ErrorCode.Internal, Outcome = Outcome.Unknown, Detail = "a failure that is no problem document" };
        }
    }

    // node=n2; role=follower; group=17; term=9; applied=88123; path=local|waited|forwarded
    private Evidence? EvidenceOf(HttpResponseMessage response)
    {
        if (HeaderOf(response, ServedBy) is not { } text)
        {
            return null;
        }

        var fields = text.Split(';', StringSplitOptions.TrimEntries)
            .Select(field => field.Split('=', 2))
            .Where(field => field.Length == 2)
            .ToDictionary(field => field[0], field => field[1]);
        int node = Enumerable.Range(0, names.Count).FirstOrDefault(i => names[i] == fields.GetValueOrDefault("node"), -1);
        return new Evidence(
            ReadLevels.Parse(HeaderOf(response, Consistency)),
            uint.TryParse(HeaderOf(response, "Kv-Staleness"), out uint age) ? age : Evidence.AgeUnknown,
            new GroupId((uint)Number(fields, "group")), Number(fields, "term"), Number(fields, "applied"), new NodeId((uint)(node + 1)),
            fields.GetValueOrDefault("role") == "leader" ? ServedRole.Leader : ServedRole.Follower,
            fields.GetValueOrDefault("path") switch
            {
                "forwarded" => ServedPath.Forwarded,
                "waited" => ServedPath.Waited,
                _ => ServedPath.Local,
            });
    }

    private static ulong Number(Dictionary<string, string> fields, string name) =>
        ulong.TryParse(fields.GetValueOrDefault(name), NumberStyles.None, CultureInfo.InvariantCulture, out ulong number) ? number : 0;

    private static string? HeaderOf(HttpResponseMessage response, string name) =>
        response.Headers.NonValidated.TryGetValues(name, out var values) ? values.ToString() : null;
}
