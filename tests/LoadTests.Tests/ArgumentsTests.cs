using KvStore.LoadTests.CommandLine;
using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Tests;

public sealed class ArgumentsTests
{
    private static readonly Option[] Options =
    [
        new("clients", "N", "64", ""), new("duration", "S", "10", ""), new("over", "DOOR", "binary", ""),
        new("quick", null, null, ""), new("out", "DIR", null, ""),
    ];

    [Fact]
    public void Values_follow_or_are_joined_and_defaults_fill_in()
    {
        var arguments = new Arguments(["--clients", "16", "--duration=2.5s", "--quick"], Options);
        Assert.Equal(16, arguments.Count("clients"));
        Assert.Equal(TimeSpan.FromSeconds(2.5), arguments.Seconds("duration"));
        Assert.True(arguments.Has("quick"));
        Assert.Equal("binary", arguments.Choice("over", "binary", "rest"));
        Assert.Null(arguments.TextOrNull("out"));
    }

    [Theory]
    [InlineData("unknown option --client", "--client", "16")]
    [InlineData("'16' is not an option", "16")]
    [InlineData("--clients needs a value", "--clients")]
    [InlineData("--quick takes no value", "--quick=yes")]
    public void A_wrong_argument_is_named(string expected, params string[] given) =>
        Assert.StartsWith(expected, Assert.Throws<UsageException>(() => new Arguments(given, Options)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_wrong_value_is_named()
    {
        var arguments = new Arguments(["--clients", "0", "--duration", "soon", "--over", "grpc"], Options);
        AssertRefused("--clients is a whole number of at least 1, not '0'", () => arguments.Count("clients"));
        AssertRefused("--duration is a number of seconds above 0, not 'soon'", () => arguments.Seconds("duration"));
        AssertRefused("--over is one of binary, rest, not 'grpc'", () => arguments.Choice("over", "binary", "rest"));
    }

    [Fact]
    public void Counters_are_summed_over_labels_and_nodes()
    {
        var counters = new ServerCounters();
        const string Text = """
            # TYPE kvstore_wal_syncs_total counter
            kvstore_wal_syncs_total 5
            kvstore_raft_term{group="1"} 6
            kvstore_raft_term{group="2 }"} 7

            """;
        counters.Add(Text);
        counters.Add(Text);
        Assert.Equal(10, counters.Find("kvstore_wal_syncs_total"));
        Assert.Equal(26, counters.Find("kvstore_raft_term"));
        Assert.Null(counters.Find("kvstore_unknown"));
    }

    [Fact]
    public void The_cluster_file_is_read_in_the_order_of_the_servers_numbers()
    {
        var cluster = ClusterFile.Read(Path.Combine(RepositoryRoot(), "cluster.json"));
        Assert.Equal(["n1", "n2", "n3"], cluster.Nodes.Select(node => node.Name));
        Assert.Equal(16, cluster.Groups);
        Assert.Equal("n2", Assert.Single(cluster.Select(["n2"])).Name);
        Assert.Throws<UsageException>(() => cluster.Select(["n9"]));
        Assert.Throws<UsageException>(() => ClusterFile.Read("no-such-file.json"));
    }

    private static void AssertRefused(string message, Func<object> read) =>
        Assert.Equal(message, Assert.Throws<UsageException>(read).Message);

    private static string RepositoryRoot()
    {
        string directory = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(directory, "KvStore.sln")))
        {
            directory = Path.GetDirectoryName(directory)!;
        }

        return directory;
    }
}
