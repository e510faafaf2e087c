using System.Net;
using System.Net.Sockets;
using System.Text;
using KvStore.Protocol;

namespace KvStore.LoadTests.Fuzz;

/// <summary>Sends inputs to one port of one node, each drawn from a seed, and takes whatever comes back.</summary>
internal abstract class FuzzPort(IPEndPoint at)
{
    private const int MostInputsPerConnection = 10;

    /// <summary>For an answer to what was sent, and the end of the connection.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>What is sent over one connection: bytes, and how many inputs they are.</summary>
    protected abstract IReadOnlyList<byte[]> Draw(Mutator mutator, int inputs);

    /// <summary>One connection. The number of inputs that were sent.</summary>
    public virtual async Task<int> ConnectAsync(Mutator mutator, CancellationToken stop)
    {
        var inputs = Draw(mutator, 1 + mutator.Next(MostInputsPerConnection));
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop);
        limit.CancelAfter(Patience);
        int sent = 0;
        try
        {
            using var socket = await DialAsync(limit.Token);
            try
            {
                foreach (byte[] input in inputs)
                {
                    await socket.SendAsync(input, limit.Token);
                    sent++;
                }

                socket.Shutdown(SocketShutdown.Send);
            }
            catch (SocketException)
            {
                // closed in the middle: there may be an answer all the same
            }

            byte[] scratch = new byte[4096];
            while (await socket.ReceiveAsync(scratch, limit.Token) > 0)
            {
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException && !stop.IsCancellationRequested)
        {
            // as good as any other end
        }

        return sent;
    }

    protected async Task<Socket> DialAsync(CancellationToken cancellation)
    {
        // Reset at the end: the machine would else run out of ports before the inputs are through.
        Socket socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, LingerState = new LingerOption(true, 0) };
        try
        {
            await socket.ConnectAsync(at, cancellation);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}

/// <summary>Requests that are nearly right, and bytes that are none.</summary>
internal sealed class RestFuzz(IPEndPoint at) : FuzzPort(at)
{
    protected override IReadOnlyList<byte[]> Draw(Mutator mutator, int inputs) =>
        [.. Enumerable.Range(0, inputs).Select(_ => mutator.Next(10) == 0 ? mutator.Random() : mutator.Mutate(mutator.Draw(FuzzInputs.Rest)))];
}

/// <summary>A right hello, mostly, and frames whose payload is changed before or after their checksum is made.</summary>
internal sealed class BinaryFuzz(IPEndPoint at) : FuzzPort(at)
{
    protected override IReadOnlyList<byte[]> Draw(Mutator mutator, int inputs)
    {
        byte[] hello = mutator.Draw(FuzzInputs.Hellos);
        List<byte[]> sent = [FuzzInputs.Frame(FrameKind.Hello, mutator.Next(4) == 0 ? mutator.Mutate(hello) : FuzzInputs.Hellos[0])];
        for (ulong i = 1; i < (ulong)inputs; i++)
        {
            var (kind, payload) = mutator.Draw(FuzzInputs.Binary);
            sent.Add(mutator.Next(10) switch
            {
                0 => mutator.Random(),
                1 or 2 => mutator.Mutate(FuzzInputs.Frame(kind, payload, i)),
                3 => FuzzInputs.Frame((FrameKind)mutator.Next(20), mutator.Mutate(payload), i),
                _ => FuzzInputs.Frame(kind, mutator.Mutate(payload), i),
            });
        }

        return sent;
    }
}

/// <summary>What a stranger can say on the peer port: hellos that claim anything, and frames behind them. With the secret: proved ones.</summary>
/// <param name="at">The port.</param>
/// <param name="clusterId">Of the cluster.</param>
/// <param name="nodes">Names of its nodes; the first one is asked.</param>
/// <param name="secret">Of the cluster, known to who asks; null: it has none.</param>
internal sealed class PeerFuzz(IPEndPoint at, string clusterId, IReadOnlyList<string> nodes, ClusterSecret? secret) : FuzzPort(at)
{
    public override async Task<int> ConnectAsync(Mutator mutator, CancellationToken stop)
    {
        if (secret is null || mutator.Next(2) == 0)
        {
            return await base.ConnectAsync(mutator, stop);
        }

        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop);
        limit.CancelAfter(TimeSpan.FromSeconds(2));
        try
        {
            using var transport = new SocketTransport(await DialAsync(limit.Token));
            await Handshake.DialAsync(transport, Hello(mutator), secret, limit.Token);
        }
        catch (Exception e) when (e is SocketException or IOException or OperationCanceledException && !stop.IsCancellationRequested)
        {
            // as good as any other end
        }

        return 1;
    }

    protected override IReadOnlyList<byte[]> Draw(Mutator mutator, int inputs)
    {
        PeerHello hello = Hello(mutator) with { Credentials = secret is null ? default : ClusterSecret.NewNonce() };
        byte[] payload = FuzzInputs.Written(frame => HelloCodec.Encode(frame, hello));
        List<byte[]> sent = [FuzzInputs.Frame(FrameKind.Hello, mutator.Next(2) == 0 ? mutator.Mutate(payload) : payload)];
        for (int i = 1; i < inputs; i++)
        {
            sent.Add(mutator.Next(4) switch
            {
                0 => mutator.Random(),
                1 => FuzzInputs.Frame(FrameKind.HelloProof, mutator.Mutate(new byte[32])),
                2 => FuzzInputs.Frame(FrameKind.PeerBatch, mutator.Mutate(mutator.Draw(FuzzInputs.Binary).Payload)),
                _ => mutator.Mutate(FuzzInputs.Frame((FrameKind)mutator.Next(20), mutator.Random())),
            });
        }

        return sent;
    }

    private PeerHello Hello(Mutator mutator)
    {
        string[] names = [.. nodes, "n9", "x\n\u001b[31m", new string('n', 300)];
        string name = mutator.Draw(names);
        return FuzzInputs.PeerHello(
            mutator.Next(4) == 0 ? Encoding.Latin1.GetString(mutator.Random()) : clusterId, name, mutator.Next(4) == 0 ? name : nodes[0], mutator);
    }
}
