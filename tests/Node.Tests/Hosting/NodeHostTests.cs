using System.Diagnostics;
using System.Net;
using System.Text.Json;
using KvStore.Client;
using KvStore.Node.Config;
using KvStore.Protocol;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Node.Tests.Hosting;

public class NodeHostTests
{
    [Fact]
    public async Task A_key_written_at_one_node_is_read_at_every_node_and_again_after_a_restart()
    {
        using var folder = new TestCluster(nodes: 3);
        await using (var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance))
        {
            for (var i = 0; i < 20; i++)
            {
                await cluster.PutAsync(cluster.Nodes[i % 3], $"key{i}", $"value{i}");
            }

            Assert.Equal("value7", await cluster.GetAsync(cluster.Nodes[0], "key7"));
        }

        await using (var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance))
        {
            for (var i = 0; i < 20; i++)
            {
                Assert.Equal($"value{i}", await cluster.GetAsync(cluster.Nodes[(i + 1) % 3], $"key{i}"));
            }
        }
    }

    [Fact]
    public async Task Stopping_one_node_leaves_the_others_running()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        await cluster.PutAsync(cluster.Nodes[0], "before", "1");

        var stopped = cluster.Nodes[1];
        var clock = Stopwatch.StartNew();
        await stopped.DisposeAsync();
        Assert.InRange(clock.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(5));

        Assert.Equal("1", await cluster.GetAsync(cluster.Nodes[0], "before"));
        for (var i = 0; i < 8; i++)
        {
            await cluster.PutAsync(cluster.Nodes[2], $"after{i}", "2"); // several groups: those it led elect anew
        }

        Assert.Equal("2", await cluster.GetAsync(cluster.Nodes[0], "after3"));
        Assert.All([cluster.Nodes[0], cluster.Nodes[2]], node => Assert.False(node.Failed.IsCompleted));
        await Assert.ThrowsAnyAsync<HttpRequestException>(() => cluster.Http.GetAsync(RunningCluster.Url(stopped, "/health/live")));
    }

    [Fact]
    public async Task A_node_that_stops_tells_its_clients_to_go_elsewhere()
    {
        using var folder = new TestCluster();
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        await using var connection = await KvConnection.ConnectAsync(cluster.Nodes[0].Endpoints.Binary.ToEndPoint());
        Assert.Null(connection.GoAway);
        await cluster.Nodes[0].DisposeAsync();
        var end = await connection.Closed.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal(ConnectionEndReason.ClosedByPeer, end.Reason);
        Assert.Equal(GoAwayReason.Draining, connection.GoAway?.Reason);
    }

    [Fact]
    public async Task A_request_in_flight_when_the_node_stops_gets_an_honest_answer()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        await cluster.Nodes[0].DisposeAsync();
        await cluster.Nodes[1].DisposeAsync();

        // Nobody can commit it any more, and it may wait much longer than a stop may take.
        var node = cluster.Nodes[2];
        using var request = new HttpRequestMessage(HttpMethod.Put, RunningCluster.Url(node, "/v1/kv/key"));
        request.Headers.Add("Kv-Timeout", "60s");
        request.Content = new StringContent("value");
        var answer = cluster.Http.SendAsync(request);
        await RunningCluster.UntilAsync("the request is in flight", () => Task.FromResult(node.Store!.InFlight == 1));

        var clock = Stopwatch.StartNew();
        await node.DisposeAsync();
        Assert.InRange(clock.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(5));
        using var problem = JsonDocument.Parse(await (await answer).Content.ReadAsStringAsync());
        Assert.Contains(problem.RootElement.GetProperty("code").GetString(), new[] { "Draining", "Indeterminate" });
    }

    [Fact]
    public async Task Limits_of_the_configuration_hold_at_every_door()
    {
        using var folder = new TestCluster();
        await using var cluster = await RunningCluster.StartAsync(
            folder, NullLoggerFactory.Instance,
            deviate: (_, config) => config with { Limits = new LimitSettings { KeyBytes = 8, ValueBytes = 16, RequestBytes = 24 } });
        var node = cluster.Nodes[0];
        await using var connection = await KvConnection.ConnectAsync(node.Endpoints.Binary.ToEndPoint());
        var put = new Put(new byte[8], new byte[16]);
        Assert.Equal(ErrorCode.None, (await SendAsync(put)).Code);

        var longKey = await SendAsync(new Put(new byte[9], new byte[16]));
        Assert.Equal((ErrorCode.TooLarge, Outcome.NotApplied), (longKey.Code, longKey.Outcome));
        Assert.Equal("The key has 9 bytes; the limit keyBytes is 8.", longKey.Detail);
        var longValue = await SendAsync(new Put(new byte[8], new byte[17]));
        Assert.Equal("The value has 17 bytes; the limit valueBytes is 16.", longValue.Detail);
        Assert.Equal(
            "The batch has 48 bytes; the limit requestBytes is 24.", (await SendAsync(new Batch(put, put))).Detail);

        using var content = new ByteArrayContent(new byte[17]);
        using var refused = await cluster.Http.PutAsync(RunningCluster.Url(node, "/v1/kv/key"), content);
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, refused.StatusCode);

        async Task<KvReply> SendAsync(Operation operation) =>
            (await connection.TrySendAsync(new KvRequest { Operation = operation })).Reply!;
    }

    [Fact]
    public async Task Every_election_is_one_log_line_with_node_group_term_and_index()
    {
        using var folder = new TestCluster(nodes: 3);
        using var logs = new LogRecorder();
        await (await RunningCluster.StartAsync(folder, logs)).DisposeAsync();

        var elections = logs.Lines.Where(line => line.Id == 301).ToList();
        Assert.True(elections.Select(line => line["Group"]).Distinct().Count() == 4, "each of the four groups has elected a leader");
        Assert.Equal(elections.Count, elections.Select(line => (line["Group"], line["Term"])).Distinct().Count());
        Assert.All(elections, line => Assert.True(Convert.ToUInt64(line["Index"]) > 5));
    }

    [Fact]
    public async Task The_executable_starts_all_nodes_prints_a_working_line_and_stops_on_SIGTERM()
    {
        using var folder = new TestCluster(nodes: 3);
        using var process = NodeProgram.Start(folder, []);
        using var patience = new CancellationTokenSource(NodeProgram.Patience);
        try
        {
            var banner = await ReadUntilAsync(process.StandardOutput, "stop:", patience.Token);
            foreach (var name in new[] { "n1", "n2", "n3" })
            {
                var endpoints = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder.Data, ".run", $"{name}.json"))).RootElement;
                Assert.Contains($"  {name}    http://{endpoints.GetProperty("http").GetString()}", banner);
                Assert.Equal(process.Id, endpoints.GetProperty("pid").GetInt32());
            }

            var line = banner.Split('\n').Single(text => text.Contains("curl")).Split("put and get:")[1];
            Assert.Equal("world", await ShellAsync(line));

            await ShellAsync($"kill -TERM {process.Id}");
            var clock = Stopwatch.StartNew();
            await process.WaitForExitAsync(patience.Token);
            Assert.Equal(0, process.ExitCode);
            Assert.InRange(clock.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(6)); // five, and one for a slow machine
        }
        finally
        {
            if (!process.HasExited)
            {
                process.Kill();
            }
        }
    }

    [Fact]
    public async Task Ports_are_not_taken_from_the_environment()
    {
        using var folder = new TestCluster();
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        var environment = new Dictionary<string, string> { ["ASPNETCORE_URLS"] = $"http://{cluster.Nodes[0].Endpoints.Http}" };

        // Were the variable heeded, the port would be in use and the start would fail for another reason than the lock.
        var (exitCode, _, error) = await NodeProgram.RunAsync(folder, [], environment);
        Assert.Equal(2, exitCode);
        Assert.Contains("LOCK", error);

        using var other = new TestCluster();
        using var process = NodeProgram.Start(other, [], environment);
        using var patience = new CancellationTokenSource(NodeProgram.Patience);
        var banner = await ReadUntilAsync(process.StandardOutput, "stop:", patience.Token);
        Assert.DoesNotContain($"{cluster.Nodes[0].Endpoints.Http}", banner);
        process.Kill();
    }

    [Fact]
    public async Task Ready_is_answered_by_every_node()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        foreach (var node in cluster.Nodes)
        {
            using var answer = await cluster.Http.GetAsync(RunningCluster.Url(node, "/health/ready"));
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        }
    }

    private static async Task<string> ReadUntilAsync(StreamReader output, string text, CancellationToken cancellation)
    {
        var read = new System.Text.StringBuilder();
        while (await output.ReadLineAsync(cancellation) is { } line)
        {
            read.AppendLine(line);
            if (line.Contains(text))
            {
                return read.ToString();
            }
        }

        throw new InvalidOperationException($"the program ended without printing \"{text}\": {read}");
    }

    private static async Task<string> ShellAsync(string command)
    {
        var start = new ProcessStartInfo("sh") { RedirectStandardOutput = true };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add(command);
        using var shell = Process.Start(start)!;
        var output = await shell.StandardOutput.ReadToEndAsync();
        await shell.WaitForExitAsync();
        return output;
    }
}
