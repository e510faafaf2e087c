using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Text;
using KvStore.Node.Config;
using KvStore.Node.Http;
using KvStore.Protocol;
using KvStore.Replication;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Node.Tests.Http;

/// <summary>
/// The front doors of a node on real sockets, over a store whose answer each test writes. Kestrel and not an in-memory server:
/// raw targets, limits and HEAD are its work.
/// </summary>
public sealed class ScriptedDoor : IAsyncLifetime
{
    public const ulong Revision = 1_172_000_000_001;
    public const string ETagText = "\"1172000000001\"";

    private static readonly NodeConfig[] Nodes =
    [
        Node("n1", 7101),
        Node("n2", 7102),
        Node("n3", 7103),
    ];

    private WebApplication? _app;

    public HttpClient Client { get; private set; } = new();

    /// <summary>Listens on the HTTP door.</summary>
    public IPEndPoint Address { get; private set; } = new(IPAddress.Loopback, 0);

    /// <summary>Listens on the binary door.</summary>
    public IPEndPoint BinaryAddress { get; private set; } = new(IPAddress.Loopback, 0);

    public ClusterConfig Config { get; set; } = new() { ClusterId = "test", Nodes = Nodes, VirtualNodes = 16, Groups = 4 };

    /// <summary>What the store says.</summary>
    public Func<KvRequest, KvReply> Answer { get; set; } = Success;

    /// <summary>Is given the request and its sink in place of <see cref="Answer"/>, and completes it when it likes; null: Answer does.</summary>
    public Action<KvRequest, IReplySink>? Take { get; set; }

    /// <summary>Where the doors log; to be set before they open.</summary>
    public ILoggerFactory Logs { get; init; } = NullLoggerFactory.Instance;

    /// <summary>What each node's replica says when it alone is asked; null: nothing, ever.</summary>
    public Func<NodeId, KvRequest, KvReply?> AnswerOf { get; set; } = (_, _) => null;

    /// <summary>What the replicas of this node have applied.</summary>
    public IReadOnlyList<KeyValuePair<GroupId, SessionPoint>> SessionPoints { get; set; } = [];

    /// <summary>What the store was asked last; null when nothing reached it.</summary>
    public KvRequest? Asked { get; private set; }

    public bool Recovered { get; set; } = true;

    public Readiness Readiness { get; set; }

    public RoomStatus Room { get; set; } = new(new MemoryUse(1000, 200, 30, 4), MemoryLimitBytes: 10_000, IsMemoryShort: false);

    /// <summary>Says where the completion is called: null inside Submit, otherwise on the thread pool.</summary>
    public bool CompleteLater { get; set; }

    /// <summary>Of every group.</summary>
    public static StateHash State => new(Applied: 100, Hash: 0x00FF_0000_0000_1234);

    /// <summary>False: the store computes as many hashes as it may.</summary>
    public bool HashesFree { get; set; } = true;

    public IReadOnlyList<GroupStatus> Groups { get; set; } = [.. Enumerable.Range(1, 4).Select(g => Status((uint)g, leader: 2))];

    internal IServiceProvider Services => _app!.Services;

    public static Evidence Evidence(
        ReadLevel level = ReadLevel.Strong, uint ageMs = 0, ServedRole role = ServedRole.Follower, ServedPath path = ServedPath.Waited) =>
        new(level, ageMs, new GroupId(3), Term: 9, Applied: 88123, new NodeId(2), role, path);

    public static KvReply Found(byte[] value, string? contentType = null) => new()
    {
        Result = new Found(Revision, StoredOf(contentType, value)),
        Evidence = Evidence(),
        Epoch = 7,
    };

    public static KvReply Written(bool created, ServedRole role = ServedRole.Follower) =>
        Applied(new Written(Revision, created)) with { Evidence = Evidence(role: role) };

    public static KvReply Deleted(bool existed) => Applied(new Deleted(Revision, existed));

    public static KvReply Counted(long number) => Applied(new Counted(Revision, number));

    /// <summary>The value is "value", a write replaces one, a delete finds nothing, a counter stands at 0.</summary>
    public static KvReply Success(KvRequest request) => request.Operation switch
    {
        Get => Found("value"u8.ToArray()),
        Put or Append => Written(created: false),
        Delete => Deleted(existed: false),
        Increment => Counted(0),
        Operation other => throw new NotSupportedException($"no answer to operation {other.Code} is written here"),
    };

    /// <summary>n2 leads, the others follow; all have applied entry 100 and are 50 ms old at most.</summary>
    public static KvReply ReplicaOf(NodeId node, KvRequest request, uint ageMs = 50, ulong applied = 100, ulong lag = 0) => new()
    {
        Evidence = new Evidence(
            request.Read.MaxLag < lag ? ReadLevel.Eventual : request.Read.Level, ageMs, new GroupId(3), Term: 9, applied, node,
            node.Value == 2 ? ServedRole.Leader : ServedRole.Follower, ServedPath.Local),
        Lag = request.Read.MaxLag is null ? null : new ReplicaLag(lag, ageMs),
        History = 77,
        Epoch = 7,
    };

    public static KvReply Refused(ErrorCode code) => new()
    {
        Code = code,
        Outcome = ErrorCodes.Of(code).Outcome,
        Detail = "Because.",
        Epoch = 7,
    };

    public static GroupStatus Status(uint group, uint leader) => new(
        new GroupId(group), ReplicaId: group * 10, Role: "Follower", new NodeId(leader), Term: 9, Commit: 101, Applied: 100, FirstIndex: 1,
        LastIndex: 102, LogBytes: 4096, Keys: 12, SnapshotIndex: 0, SnapshotsInstalled: 0);

    public async Task InitializeAsync()
    {
        StoreCalls store = new()
        {
            Submit = Submit,
            SubmitTo = (node, request, sink) =>
            {
                if (AnswerOf(node, request) is { } reply)
                {
                    sink.Complete(reply);
                }
            },
            SessionPoints = () => SessionPoints,
            Routing = () => Routing,
            Groups = () => Groups,
            Readiness = () => Readiness,
            Room = () => Room,
            Disk = () => default,
            Counters = () => default,
            TryHashState = (_, completed) =>
            {
                if (HashesFree)
                {
                    completed(State);
                }

                return HashesFree;
            },
            Nodes = new NodeDirectory(Nodes),
            Introduction = new HelloAck
            {
                Protocol = 1,
                ClusterId = "test",
                NodeName = "n1",
                NodeId = new NodeId(1),
                Uuid = new Guid(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
                Incarnation = 5,
                LayoutHash = new byte[32],
            },
        };
        FrontDoorOptions options = new(Config, "n1", new IPEndPoint(IPAddress.Loopback, 0), new IPEndPoint(IPAddress.Loopback, 0));
        _app = HttpFrontDoor.Create(options, () => Recovered ? store : null, Logs);
        await _app.StartAsync();
        string[] addresses = [.. _app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses];
        Address = IPEndPoint.Parse(new Uri(addresses[0]).Authority);
        BinaryAddress = IPEndPoint.Parse(new Uri(addresses[1]).Authority);
        Client = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false }) { BaseAddress = new Uri($"http://{Address}") };
    }

    public async Task DisposeAsync()
    {
        Client.Dispose();
        await _app!.DisposeAsync();
    }

    /// <summary>As a node that stops does.</summary>
    public void BeginDrain() => _app!.Services.GetRequiredService<FrontDoor>().BeginDrain();

    /// <summary>Back to a node that has everything; fixtures are shared by the tests of a class.</summary>
    public void Reset()
    {
        Answer = Success;
        AnswerOf = (node, request) => ReplicaOf(node, request);
        SessionPoints = [];
        Asked = null;
        Recovered = true;
        Readiness = default;
        CompleteLater = false;
        Take = null;
        HashesFree = true;
        Groups = [.. Enumerable.Range(1, 4).Select(g => Status((uint)g, leader: 2))];
    }

    public Task<HttpResponseMessage> SendAsync(string method, string path, params (string Name, string Value)[] headers)
    {
        HttpRequestMessage request = new(new HttpMethod(method), path);
        foreach ((string name, string value) in headers)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        return Client.SendAsync(request);
    }

    public async Task<HttpResponseMessage> PutAsync(
        string path, byte[] value, string? contentType = null, params (string Name, string Value)[] headers)
    {
        HttpRequestMessage request = new(HttpMethod.Put, path) { Content = new ByteArrayContent(value) };
        if (contentType is not null)
        {
            request.Content.Headers.TryAddWithoutValidation("Content-Type", contentType);
        }

        foreach ((string name, string value2) in headers)
        {
            request.Headers.TryAddWithoutValidation(name, value2);
        }

        return await Client.SendAsync(request);
    }

    /// <summary>
    /// Sends bytes as they are: HttpClient would tidy the path before anybody saw it. The answer as text, body included, up to the
    /// end of the connection or of <paramref name="until"/>.
    /// </summary>
    public async Task<string> SendRawAsync(string request, string? until = null)
    {
        using CancellationTokenSource deadline = new(TimeSpan.FromSeconds(20));
        using Socket socket = new(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(Address, deadline.Token);
        await socket.SendAsync(Encoding.Latin1.GetBytes(request), deadline.Token);
        using MemoryStream answer = new();
        byte[] buffer = new byte[4096];
        while (true)
        {
            int read = await socket.ReceiveAsync(buffer, deadline.Token);
            answer.Write(buffer, 0, read);
            string text = Encoding.UTF8.GetString(answer.ToArray());
            if (read == 0 || (until is not null && text.Contains(until, StringComparison.Ordinal)))
            {
                return text;
            }
        }
    }

    public Task<string> GetRawAsync(string target) =>
        SendRawAsync($"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");

    private static readonly RoutingTable Routing = new(
        7,
        [.. Enumerable.Range(0, 16).Select(v => new GroupId(1 + ((uint)v / 4)))],
        [[], .. Enumerable.Range(1, 4).Select(g => (IReadOnlyList<ReplicaPlacement>)[Placement(g, 1), Placement(g, 2), Placement(g, 3)])]);

    private static ReplicaPlacement Placement(int group, uint node) => new((ulong)group * 10 + node, new NodeId(node));

    private static NodeConfig Node(string id, int port) => new(
        id, Loopback(port), Loopback(port + 100), Loopback(port + 200), "a", 1);

    private static NodeAddress Loopback(int port) => new("127.0.0.1", port);

    private static KvReply Applied(Result result) => new()
    {
        Outcome = Outcome.Applied,
        Result = result,
        Evidence = Evidence(),
        Epoch = 7,
    };

    private static ReadOnlyMemory<byte> StoredOf(string? contentType, byte[] value)
    {
        ArrayBufferWriter<byte> stored = new();
        StoredValue.Write(stored, contentType, value);
        return stored.WrittenMemory;
    }

    private void Submit(KvRequest request, IReplySink sink)
    {
        Asked = request;
        if (Take is { } take)
        {
            take(request, sink);
        }
        else if (CompleteLater)
        {
            ThreadPool.QueueUserWorkItem(_ => sink.Complete(Answer(request)));
        }
        else
        {
            sink.Complete(Answer(request));
        }
    }
}
