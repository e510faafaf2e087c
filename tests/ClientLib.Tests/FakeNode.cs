using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using KvStore.Protocol;

namespace KvStore.Client.Tests;

/// <summary>A node as far as a connection can see: says hello and answers as it is told.</summary>
internal sealed class FakeNode : IAsyncDisposable
{
    private readonly Action<KvRequest, ReplyTicket> _handler;
    private readonly ushort _level;
    private readonly uint _number;
    private readonly FeatureBits _features;
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly CancellationTokenSource _stopping = new();
    private readonly List<Task> _connections = [];
    private readonly Task _accepting;

    /// <param name="handler">Answers.</param>
    /// <param name="level">Feature level it says it is of.</param>
    /// <param name="features">What its frames can do.</param>
    /// <param name="number">Which node it says it is.</param>
    public FakeNode(
        Action<KvRequest, ReplyTicket> handler, ushort level = FeatureLevel.Max, FeatureBits features = FeatureBits.Streams, uint number = 1)
    {
        _number = number;
        _handler = handler;
        _level = level;
        _features = features;
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen();
        _accepting = AcceptAsync();
    }

    public static HelloAck Ack { get; } = new()
    {
        Protocol = 1,
        ClusterId = "test",
        NodeName = "n1",
        NodeId = new NodeId(1),
        Uuid = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"),
        Incarnation = 7,
        LayoutHash = new byte[32],
        Epoch = 1,
    };

    /// <summary>What the connections over sockets share.</summary>
    public RequestServers Servers { get; } = new();

    public IPEndPoint EndPoint => (IPEndPoint)_listener.LocalEndPoint!;

    public static Task<ConnectionEnd> ServeAsync(
        IDuplexPipe transport,
        Action<KvRequest, ReplyTicket> handler,
        ushort level = FeatureLevel.Max,
        CancellationToken stopping = default) =>
        ServeAsync(transport, handler, Ack with { Level = level, Features = FeatureBits.Streams }, new RequestServers(), stopping);

    private static async Task<ConnectionEnd> ServeAsync(
        IDuplexPipe transport, Action<KvRequest, ReplyTicket> handler, HelloAck all, RequestServers servers, CancellationToken stopping)
    {
        var hello = await Handshake.ReceiveAsync(transport.Input, stopping);
        if (hello.Client is not { } client || client.ClusterId is not ("" or "test"))
        {
            await Handshake.RefuseAsync(transport.Output, new HelloRefused(HelloRefusal.WrongCluster, "this is cluster test"), stopping);
            return await RequestServer.ServeAsync(transport, handler, stopping: new CancellationToken(canceled: true));
        }

        var ack = all with { Features = all.Features & client.Features };
        await Handshake.AcknowledgeAsync(transport.Output, ack, stopping);
        var options = new RequestServerOptions { Streams = (ack.Features & FeatureBits.Streams) != 0 };
        return await RequestServer.ServeAsync(transport, handler, options, servers, stopping: stopping);
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        _listener.Dispose();
        await _accepting;
        await Task.WhenAll(_connections);
        _stopping.Dispose();
    }

    // A connection that is cut in the middle of its handshake is nobody's failure.
    private static async Task UntilLostAsync(Task serving)
    {
        try
        {
            await serving;
        }
        catch (Exception e) when (e is IOException or SocketException or OperationCanceledException)
        {
        }
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                var socket = await _listener.AcceptAsync(_stopping.Token);
                _connections.Add(UntilLostAsync(ServeAsync(
                    new SocketTransport(socket), _handler, Ack with { Level = _level, Features = _features, NodeId = new NodeId(_number), NodeName = $"n{_number}" }, Servers, _stopping.Token)));
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
        }
    }
}
