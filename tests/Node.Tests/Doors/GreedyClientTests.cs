using System.Net;
using System.Net.Sockets;
using KvStore.Node.Tests.Hosting;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Doors;

/// <summary>One client has so much under way that a node has no places left for requests: the others do not notice.</summary>
public sealed class GreedyClientTests
{
    private const int PerConnection = 1024;

    [Theory]
    [InlineData(1, false)]
    [InlineData(17, false)]
    [InlineData(17, true)]
    public async Task D3_writes_that_wait_for_a_node_that_is_down_take_nobody_elses_places(int connections, bool secret)
    {
        await using SeparateNodes nodes = new(secret ? new ClusterSecret("sixteen bytes at least"u8) : null);
        await nodes.StartAsync("n1", "n2", "n3");
        await nodes.PutAsync("n1", "before", "x");
        await nodes.StopAsync("n3");
        await nodes.ReadyAsync("n1", "n2");
        using CancellationTokenSource stop = new();
        List<SocketTransport> transports = [];
        List<RequestChannel> channels = [];
        for (int i = 0; i < connections; i++)
        {
            Socket socket = new(SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(IPAddress.Loopback, nodes["n1"].Endpoints.Binary.Port);
            transports.Add(new SocketTransport(socket));
            Assert.NotNull((await Handshake.DialAsync(transports[^1], new ClientHello(), CancellationToken.None)).Ack);
            channels.Add(RequestChannel.Start(transports[^1], new RequestChannelOptions { PeerLevel = FeatureLevel.Max }));
        }

        Dictionary<ErrorCode, int> ends = [];
        Task[] greedy = [.. channels.SelectMany(channel => Enumerable.Range(0, PerConnection).Select(n => AskAsync(channel, n)))];
        List<string> failed = [];
        for (int i = 0; i < 60; i++)
        {
            using HttpResponseMessage put = await nodes.Http.PutAsync(
                RunningCluster.Url(nodes["n1"], $"/v1/kv/key{i}?timeout=10s"), new StringContent("v"));
            if (!put.IsSuccessStatusCode)
            {
                failed.Add($"{(int)put.StatusCode} {await put.Content.ReadAsStringAsync()}");
            }
        }

        await stop.CancelAsync();
        await Task.WhenAll(greedy);
        foreach (RequestChannel channel in channels)
        {
            await channel.DisposeAsync();
        }

        Assert.True(failed.Count == 0, $"{failed.Count} of 60 failed, first: {failed.FirstOrDefault()}; the greedy client: {string.Join(", ", ends)}");
        Assert.True(ends.GetValueOrDefault(ErrorCode.NotOnAll) > 0, $"the greedy client: {string.Join(", ", ends)}");

        async Task AskAsync(RequestChannel channel, int n)
        {
            KvRequest write = new() { Operation = new Put(System.Text.Encoding.UTF8.GetBytes($"greedy{n}"), "v"u8.ToArray()), Ack = WriteAck.All, TimeoutMs = 10_000 };
            while (!stop.IsCancellationRequested)
            {
                RequestResult result = await channel.SendAsync(write);
                lock (ends)
                {
                    ErrorCode code = result.Reply?.Code ?? ErrorCode.Internal;
                    ends[code] = ends.GetValueOrDefault(code) + 1;
                }

                await Task.Delay(100);
            }
        }
    }
}
