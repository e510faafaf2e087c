using System.Net;
using System.Net.Sockets;
using KvStore.Node.Config;
using KvStore.Node.Hosting;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Node.Tests.Hosting;

/// <summary>
/// Wrong starts of the real executable: one message that names cause and remedy on standard error, exit code 2, and nothing
/// touched.
/// </summary>
public class BadStartTests
{
    /// <summary>The header of a segment fills a block of 4 KiB.</summary>
    private const int FirstBatchOffset = 4096;

    [Fact]
    public async Task An_unknown_key_is_named_with_the_nearest_known_one()
    {
        using var cluster = new TestCluster();
        cluster.Replace("\"tickMs\"", "\"tikcMs\"");
        await RefusedAsync(cluster, [], "raft.tikcMs", "not a known key", "did you mean \"tickMs\"");
    }

    [Fact]
    public async Task Two_nodes_with_one_id_are_refused()
    {
        using var cluster = new TestCluster(nodes: 2);
        cluster.Replace("\"n2\"", "\"n1\"");
        await RefusedAsync(cluster, [], "\"n1\"", "more than once");
    }

    [Fact]
    public async Task A_node_that_the_file_does_not_list_is_refused()
    {
        using var cluster = new TestCluster();
        await RefusedAsync(cluster, ["--node", "n7"], "n7", "lists n1");
    }

    [Fact]
    public async Task An_unknown_environment_variable_of_ours_is_refused()
    {
        using var cluster = new TestCluster();
        var environment = new Dictionary<string, string> { ["KVSTORE__Raft__TikMs"] = "20" };
        var (exitCode, _, error) = await NodeProgram.RunAsync(cluster, [], environment);
        Assert.Equal(2, exitCode);
        Assert.Contains("KVSTORE__Raft__TikMs", error);
        Assert.Contains("raft.tickMs", error);
    }

    [Fact]
    public async Task Joining_is_not_available_yet()
    {
        using var cluster = new TestCluster();
        await RefusedAsync(cluster, ["--join", "http://127.0.0.1:7101"], "--join", "not available yet");
    }

    [Fact]
    public async Task An_address_others_can_reach_needs_an_explicit_word()
    {
        using var cluster = new TestCluster();
        cluster.Replace("\"http\":\"127.0.0.1:0\"", "\"http\":\"0.0.0.0:0\"");
        await RefusedAsync(cluster, [], "0.0.0.0:0", "advertise");
        cluster.Replace("\"http\":", "\"advertise\":\"localhost\",\"http\":");
        await RefusedAsync(cluster, [], "0.0.0.0:0", "security.insecure");
    }

    [Theory]
    [InlineData(3, "http")]
    [InlineData(4, "peer")]
    [InlineData(5, "binary")]
    public async Task A_port_in_use_is_named(int place, string which)
    {
        using var occupant = new TcpListener(IPAddress.Loopback, 0);
        occupant.Start();
        var taken = ((IPEndPoint)occupant.LocalEndpoint).Port;
        using var cluster = new TestCluster(port: p => p == place ? taken : 0);
        await RefusedAsync(cluster, [], which, $"127.0.0.1:{taken}", "stop the program that uses the port");
        Assert.False(File.Exists(Path.Combine(cluster.Data, "n1", "identity")));
    }

    [Fact]
    public async Task Two_nodes_on_one_data_directory_are_refused_and_the_first_goes_on()
    {
        using var cluster = new TestCluster();
        await using var first = await StartedAsync(cluster);
        await RefusedAsync(cluster, [], "n1/LOCK", "in use by another process");
        Assert.False(first.Failed.IsCompleted);
    }

    [Fact]
    public async Task The_data_directory_of_another_cluster_is_refused_and_not_changed()
    {
        using var cluster = new TestCluster();
        await (await StartedAsync(cluster)).DisposeAsync();
        var before = Snapshot(cluster);
        cluster.Replace("\"clusterId\":\"test\"", "\"clusterId\":\"other\"");
        await RefusedAsync(cluster, [], "clusterId", "fixed as test", "configured as other", "--data");
        Assert.Equal(before, Snapshot(cluster));
    }

    [Theory]
    [InlineData("\"groups\":4", "\"groups\":8", "groups", "fixed as 4", "configured as 8")]
    [InlineData("\"virtualNodes\":64", "\"virtualNodes\":128", "virtualNodes", "fixed as 64", "configured as 128")]
    public async Task A_changed_layout_is_refused_with_both_values(string old, string changed, params string[] expected)
    {
        using var cluster = new TestCluster();
        await (await StartedAsync(cluster)).DisposeAsync();
        cluster.Replace(old, changed);
        await RefusedAsync(cluster, [], expected);
    }

    [Fact]
    public async Task The_directory_of_another_node_is_refused()
    {
        using var cluster = new TestCluster(nodes: 2, port: PortsOf());
        await (await StartedAsync(cluster)).DisposeAsync();
        Directory.Move(Path.Combine(cluster.Data, "n1"), Path.Combine(cluster.Data, "n2"));
        await RefusedAsync(cluster, ["--node", "n2"], "belongs to node n1", "a data directory of its own");
    }

    [Fact]
    public async Task A_lost_log_is_not_taken_for_a_first_start()
    {
        using var cluster = new TestCluster();
        await (await StartedAsync(cluster)).DisposeAsync();
        Directory.Delete(Path.Combine(cluster.Data, "n1", "wal"), recursive: true);
        await RefusedAsync(cluster, [], "its log is gone", "votes");
    }

    [Fact]
    public async Task A_log_without_an_identity_is_refused()
    {
        using var cluster = new TestCluster();
        await (await StartedAsync(cluster)).DisposeAsync();
        File.Delete(Path.Combine(cluster.Data, "n1", "identity"));
        await RefusedAsync(cluster, [], "no identity file");
    }

    [Fact]
    public async Task A_damaged_identity_is_refused_with_its_name()
    {
        using var cluster = new TestCluster();
        await (await StartedAsync(cluster)).DisposeAsync();
        var path = Path.Combine(cluster.Data, "n1", "identity");
        var bytes = File.ReadAllBytes(path);
        bytes[20] ^= 1;
        File.WriteAllBytes(path, bytes);
        await RefusedAsync(cluster, [], "n1/identity", "checksum");
    }

    [Fact]
    public async Task Damaged_acknowledged_log_data_is_refused_with_file_and_offset()
    {
        using var cluster = new TestCluster();
        await using (var node = await StartedAsync(cluster))
        {
            await RunningCluster.UntilAsync("the first entries are in the log", () => Task.FromResult(node.Store!.IsReady));
        }

        var segment = Segments(cluster)[0];
        var bytes = File.ReadAllBytes(segment);
        bytes[FirstBatchOffset + 8] ^= 1;
        File.WriteAllBytes(segment, bytes);
        await RefusedAsync(cluster, [], Path.GetFileName(segment), $"offset {FirstBatchOffset}");
    }

    [Theory]
    [InlineData("empty")]
    [InlineData("two thirds")]
    [InlineData("header only")]
    [InlineData("zeros behind the header")]
    public async Task A2_a_newest_segment_that_has_lost_its_end_is_refused_and_nothing_is_deleted(string damage)
    {
        using var cluster = new TestCluster();
        for (var starts = 0; starts < 2; starts++)
        {
            await using var node = await StartedAsync(cluster);
            await RunningCluster.UntilAsync("the first entries are in the log", () => Task.FromResult(node.Store!.IsReady));
        }

        var segment = Segments(cluster)[^1];
        long offset;
        using (var file = File.OpenHandle(segment, FileMode.Open, FileAccess.ReadWrite))
        {
            var length = RandomAccess.GetLength(file);
            long kept = damage switch { "empty" => 0, "two thirds" => length * 2 / 3, _ => FirstBatchOffset };
            RandomAccess.SetLength(file, kept);
            offset = damage == "empty" ? 0 : kept;
            if (damage == "zeros behind the header")
            {
                RandomAccess.SetLength(file, length);
            }
        }

        var before = Snapshot(cluster, "wal");
        await RefusedAsync(cluster, [], Path.GetFileName(segment), $"offset {offset}");
        Assert.Equal(before, Snapshot(cluster, "wal"));
    }

    [Theory]
    [InlineData("--data", "", "--data needs")]
    [InlineData("--config", "", "--config needs")]
    [InlineData("--config", ".", "is a directory")]
    [InlineData("--data", "cluster.json", "not a directory")]
    [InlineData("--data", "/proc/none", "cannot use the data directory")]
    public async Task B8_a_path_that_cannot_be_is_named_with_its_remedy(string option, string value, string expected)
    {
        using var cluster = new TestCluster();
        await RefusedAsync(cluster, [option, value], expected);
    }

    [Fact]
    public async Task B8_a_run_folder_that_cannot_be_written_is_named_before_anything_is_touched()
    {
        using var cluster = new TestCluster();
        Directory.CreateDirectory(cluster.Data);
        File.WriteAllText(Path.Combine(cluster.Data, ".run"), "in the way");
        await RefusedAsync(cluster, [], ".run", "not a directory", "--data");
        Assert.False(Directory.Exists(Path.Combine(cluster.Data, "n1")));
    }

    [Theory]
    [InlineData("http")]
    [InlineData("peer")]
    [InlineData("binary")]
    public async Task B8_an_address_that_the_machine_does_not_have_is_named(string which)
    {
        using var cluster = new TestCluster();
        cluster.Replace($"\"{which}\":\"127.0.0.1:0\"", $"\"{which}\":\"192.0.2.1:17499\"");
        cluster.Replace("\"raft\":", "\"security\":{\"insecure\":true},\"raft\":");
        await RefusedAsync(cluster, [], which, "192.0.2.1:17499", "is not an address of this machine");
    }

    [Fact]
    public async Task D8_without_its_LOCK_file_a_folder_is_locked_all_the_same()
    {
        using var cluster = new TestCluster();
        await using var first = await StartedAsync(cluster);
        File.Delete(Path.Combine(cluster.Data, "n1", "LOCK"));
        await RefusedAsync(cluster, [], "n1", "in use by another process");
        Assert.False(first.Failed.IsCompleted);
    }

    private static string[] Segments(TestCluster cluster) =>
        [.. Directory.EnumerateFiles(Path.Combine(cluster.Data, "n1", "wal"), "wal-*").Order(StringComparer.Ordinal)];

    private static async Task RefusedAsync(TestCluster cluster, IEnumerable<string> arguments, params string[] expected)
    {
        var (exitCode, output, error) = await NodeProgram.RunAsync(cluster, arguments);
        Assert.True(exitCode == 2, $"exit code {exitCode}, error: {error}, output: {output}");
        Assert.All(expected, text => Assert.Contains(text, error));
        Assert.Single(error.Trim().Split('\n'));
    }

    /// <summary>Node n1 in this process: the executable is tested against it.</summary>
    private static async Task<NodeHost> StartedAsync(TestCluster cluster)
    {
        var config = Configuration.Load(cluster.File, new System.Collections.Hashtable(), []).Cluster;
        var node = new NodeHost(config, "n1", cluster.Data, NullLoggerFactory.Instance);
        await node.OpenPortsAsync(CancellationToken.None);
        node.Start([node.Endpoints, .. config.Nodes.Skip(1)]);
        return node;
    }

    // --node refuses port 0.
    private static Func<int, int> PortsOf()
    {
        var ports = new Dictionary<int, int>();
        return place =>
        {
            if (!ports.TryGetValue(place, out var port))
            {
                ports[place] = port = FreePorts.Take();
            }

            return port;
        };
    }

    private static string Snapshot(TestCluster cluster, string under = "") => string.Join('\n', Directory
        .EnumerateFiles(Path.Combine(cluster.Data, "n1", under), "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
        .Select(file => $"{file} {Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(file)))}"));
}
