using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using KvStore.Node.Peers;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Peers;

/// <summary>The time a frame on the peer port may take.</summary>
public sealed class PeerConnectionTests
{
    private const int FrameTimeoutMs = 500;

    [Fact]
    public async Task A_frame_that_begins_and_does_not_end_costs_the_connection_however_slowly_its_bytes_come()
    {
        (Socket sender, PeerConnection receiver) = await PairAsync();
        using (sender)
        using (receiver)
        {
            byte[] frame = Frame(4000);
            Stopwatch took = Stopwatch.StartNew();
            Task receiving = ReceiveAsync(receiver, []);
            for (int at = 0; at < 1000 && !receiving.IsCompleted; at++)
            {
                await sender.SendAsync(frame.AsMemory(at, 1));
                await Task.Delay(20);
            }

            PeerProtocolException late = await Assert.ThrowsAsync<PeerProtocolException>(() => receiving.WaitAsync(TimeSpan.FromSeconds(30)));
            Assert.Contains("not ended within 500 ms", late.Message, StringComparison.Ordinal);
            Assert.True(took.ElapsedMilliseconds >= FrameTimeoutMs);
        }
    }

    /// <summary>Frames in pieces, each in time, for longer than one may take; silence between frames; and a reader that takes its time.</summary>
    [Fact]
    public async Task Frames_that_end_in_time_and_silence_between_them_cost_nothing()
    {
        (Socket sender, PeerConnection receiver) = await PairAsync();
        using (sender)
        using (receiver)
        {
            List<int> received = [];
            Task receiving = ReceiveAsync(receiver, received, () => Thread.Sleep(received.Count == 2 ? 2 * FrameTimeoutMs : 0));
            for (int i = 0; i < 5; i++)
            {
                // The end of one frame and the beginning of the next come together.
                byte[] two = [.. Frame(10 + i), .. Frame(100 + i)];
                await sender.SendAsync(two.AsMemory(0, 50));
                await Task.Delay(FrameTimeoutMs / 5);
                await sender.SendAsync(two.AsMemory(50));
                await Task.Delay(i == 3 ? 3 * FrameTimeoutMs : 0);
            }

            sender.Shutdown(SocketShutdown.Send);
            await receiving.WaitAsync(TimeSpan.FromSeconds(30));
            Assert.Equal(Enumerable.Range(0, 5).SelectMany(i => (int[])[10 + i, 100 + i]), received);
        }
    }

    private static async Task ReceiveAsync(PeerConnection connection, List<int> received, Action? then = null) =>
        Assert.False(await connection.ReceiveAsync(
            Limits.MaxPeerFrameBytes,
            (_, payload) =>
            {
                received.Add(payload.Length);
                then?.Invoke();
                return true;
            },
            CancellationToken.None));

    private static byte[] Frame(int bytes)
    {
        var frames = new FrameWriter();
        frames.Write(FrameKind.PeerBatch, FrameFlags.None, 1, new byte[bytes]);
        return frames.Written.ToArray();
    }

    private static async Task<(Socket Sender, PeerConnection Receiver)> PairAsync()
    {
        using TcpListener port = new(IPAddress.Loopback, 0);
        port.Start();
        Socket sender = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        Task<Socket> accepted = port.AcceptSocketAsync();
        await sender.ConnectAsync(port.LocalEndpoint);
        return (sender, new PeerConnection(await accepted, FrameTimeoutMs));
    }
}
