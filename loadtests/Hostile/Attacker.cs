using System.Net;
using System.Net.Sockets;
using System.Text;
using KvStore.LoadTests.Servers;
using KvStore.Protocol;

namespace KvStore.LoadTests.Hostile;

/// <summary>Carries an <see cref="Attack"/> out against one node, and again wherever the node has ended a part of it.</summary>
/// <param name="target">The node.</param>
/// <param name="attack">What it does.</param>
/// <param name="local">Local address of every connection: another client, where the node tells clients apart by it.</param>
internal sealed class Attacker(NodeAddress target, Attack attack, IPAddress local)
{
    private const int WritesPerConnection = 1024;
    private const int BodyBytes = 1 << 20;
    private static readonly TimeSpan Again = TimeSpan.FromMilliseconds(100);

    /// <summary>How far it has come.</summary>
    public MountedParts Mounted { get; } = new(attack.Parts);

    public Task RunAsync(CancellationToken stop) => attack.Name switch
    {
        "idle-binary" => ManyAsync(attack.Parts, target.Binary, (socket, n) => HoldAsync(socket, n, stop), stop),
        "idle-greeted" => ManyAsync(attack.Parts, target.Binary, (socket, n) => GreetAndHoldAsync(socket, n, stop), stop),
        "idle-rest" => ManyAsync(attack.Parts, Rest, (socket, n) => HoldAsync(socket, n, stop), stop),
        "slow-bodies" => ManyAsync(attack.Parts, Rest, (socket, n) => UploadSlowlyAsync(socket, n, stop), stop),
        "unfinished-frames" => ManyAsync(attack.Parts, target.Binary, (socket, n) => HalfAFrameAsync(socket, n, stop), stop),
        "silent-peers" => ManyAsync(attack.Parts, target.Peer, (socket, n) => HoldAsync(socket, n, stop), stop),
        "ack-all" => ManyAsync(attack.Parts / WritesPerConnection, target.Binary, (socket, n) => WriteToAllAsync(socket, n, stop), stop),
        _ => throw new InvalidOperationException($"there is no attack '{attack.Name}'"),
    };

    private IPEndPoint Rest => new(IPAddress.Parse(target.Http.Host), target.Http.Port);

    private Task ManyAsync(int count, IPEndPoint to, Func<Socket, int, Task> useAsync, CancellationToken stop) =>
        Task.WhenAll(Enumerable.Range(0, count).Select(n => KeepUpAsync(n, to, useAsync, stop)));

    private async Task KeepUpAsync(int n, IPEndPoint to, Func<Socket, int, Task> useAsync, CancellationToken stop)
    {
        await Task.Yield();
        while (!stop.IsCancellationRequested)
        {
            try
            {
                using Socket socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, LingerState = new LingerOption(true, 0) };
                socket.Bind(new IPEndPoint(local, 0));
                await socket.ConnectAsync(to, stop);
                await useAsync(socket, n);
            }
            catch (Exception e) when (e is SocketException or IOException or OperationCanceledException)
            {
                // closed or refused: what the node is there for
            }

            await Task.Delay(Again, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task HoldAsync(Socket socket, int n, CancellationToken stop)
    {
        using var part = Mounted.Begin(n);
        await ReadToTheEndAsync(socket, stop);
    }

    private static async Task ReadToTheEndAsync(Socket socket, CancellationToken stop)
    {
        byte[] scratch = new byte[256];
        while (await socket.ReceiveAsync(scratch, stop) > 0)
        {
        }
    }

    private async Task GreetAndHoldAsync(Socket socket, int n, CancellationToken stop)
    {
        using var part = Mounted.Begin(n); // a hello that is refused is an attack, too
        using var transport = new SocketTransport(socket);
        if ((await Handshake.DialAsync(transport, new ClientHello { ClientName = "hostile" }, stop)).Ack is not null)
        {
            await ReadToTheEndAsync(socket, stop);
        }
    }

    private async Task UploadSlowlyAsync(Socket socket, int n, CancellationToken stop)
    {
        await socket.SendAsync(Encoding.ASCII.GetBytes($"PUT /v1/kv/slow{n} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BodyBytes}\r\n\r\n"), stop);
        using var part = Mounted.Begin(n);
        await socket.SendAsync(new byte[BodyBytes / 2], stop);
        byte[] drop = new byte[300];
        while (true)
        {
            await socket.SendAsync(drop, stop);
            await Task.Delay(TimeSpan.FromSeconds(1), stop);
        }
    }

    private async Task HalfAFrameAsync(Socket socket, int n, CancellationToken stop)
    {
        using var transport = new SocketTransport(socket);
        if ((await Handshake.DialAsync(transport, new ClientHello { ClientName = "hostile" }, stop)).Ack is null)
        {
            return;
        }

        byte[] header = new byte[FrameHeader.SizeBytes];
        new FrameHeader(FrameKind.Request, FrameFlags.None, Limits.MaxRequestBytes, 1, 0).WriteTo(header);
        await socket.SendAsync(header, stop);
        using var part = Mounted.Begin(n);
        byte[] piece = new byte[64 << 10];
        for (int left = Limits.MaxRequestBytes - 1; left > 0; left -= piece.Length)
        {
            await socket.SendAsync(piece.AsMemory(0, Math.Min(left, piece.Length)), stop);
        }

        await ReadToTheEndAsync(socket, stop);
    }

    private async Task WriteToAllAsync(Socket socket, int connection, CancellationToken stop)
    {
        var transport = new SocketTransport(socket);
        if ((await Handshake.DialAsync(transport, new ClientHello { ClientName = "hostile" }, stop)).Ack is not { } ack)
        {
            return;
        }

        await using var channel = RequestChannel.Start(transport, new RequestChannelOptions { PeerLevel = ack.Level });
        await Task.WhenAll(Enumerable.Range(0, WritesPerConnection).Select(async n =>
        {
            int number = (connection * WritesPerConnection) + n;
            byte[] key = Encoding.ASCII.GetBytes($"all{number}");
            while (!stop.IsCancellationRequested && channel.IsOpen)
            {
                using var part = Mounted.Begin(number);
                var write = new KvRequest { Operation = new Put(key, "x"u8), Ack = WriteAck.All, TimeoutMs = 30_000 };
                RequestResult result = await channel.SendAsync(write, stop);
                await Task.Delay(Math.Max(result.Reply?.RetryAfterMs ?? 0, 10), stop);
            }
        }));
    }
}
