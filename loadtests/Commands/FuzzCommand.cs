using System.Net;
using System.Text;
using KvStore.LoadTests.Chaos;
using KvStore.LoadTests.CommandLine;
using KvStore.LoadTests.Fuzz;
using KvStore.LoadTests.Reports;
using KvStore.LoadTests.Servers;
using KvStore.Protocol;

namespace KvStore.LoadTests.Commands;

/// <summary>fuzz: changed and made-up bytes to every port of a node, and a verdict.</summary>
internal static class FuzzCommand
{
    private const string SecretVariable = "KVSTORE__Security__ClusterSecret";
    private const string Secret = "the secret of a fuzzed cluster, known to the fuzzer";
    private static readonly string[] Ports = ["rest", "binary", "peer", "peer-secret"];

    private static readonly IReadOnlyList<Option> Options =
    [
        new("inputs", "N", "200000", "for each port"),
        new("quick", null, null, "2,000 inputs for each port: whether it works"),
        new("ports", "LIST", string.Join(',', Ports), "some of them; peer-secret knows the secret of its cluster, peer meets one without"),
        new("seed", "X", "1", "of all inputs"),
        new("out", "DIR", "out/fuzz", "report.md and the data of the nodes; the data of an earlier run there is deleted"),
        new("cluster", "FILE", "cluster.json", "the cluster file"),
        CommonOptions.Script,
    ];

    public static Command Create() => new(
        "fuzz", "sends changed and made-up bytes to every port; exit code 0 pass, 1 fail, 2 no verdict", Options, RunAsync);

    private static async Task<int> RunAsync(Arguments arguments, CancellationToken cancellation)
    {
        string[] asked = arguments.ListOrNull("ports")!;
        if (asked.FirstOrDefault(port => !Ports.Contains(port)) is { } unknown)
        {
            throw new UsageException($"there is no port '{unknown}'; there are {string.Join(", ", Ports)}");
        }

        int inputs = arguments.Has("quick") ? 2000 : arguments.Count("inputs");
        int seed = arguments.Count("seed", min: 0);
        string outDirectory = Path.GetFullPath(arguments.Text("out"));
        var cluster = CommonOptions.ReadCluster(arguments);
        var context = RunContext.Capture(CommonOptions.CommandLine);
        await OwnServers.RefuseToShareAsync(cluster, cancellation);
        List<FuzzResult> results = [];
        foreach (var withSecret in new[] { false, true })
        {
            var ports = asked.Where(port => port == "peer-secret" == withSecret).Select(port => (port, Open(port, cluster))).ToList();
            if (ports.Count == 0)
            {
                continue;
            }

            Environment.SetEnvironmentVariable(SecretVariable, withSecret ? Secret : null);
            string data = OwnServers.PrepareData(withSecret ? Path.Combine(outDirectory, "with-secret") : outDirectory);
            string runDirectory = Path.Combine(data, ".run");
            var run = new FuzzRun(
                cluster, new ClusterScript(arguments.Text("script"), arguments.Text("cluster"), data), new ServerProcesses(runDirectory), runDirectory, Progress.OnConsole());
            results.AddRange(await run.RunAsync(ports, inputs, seed, cancellation));
        }

        string report = FuzzRun.Report(results, inputs, context);
        string path = Path.Combine(outDirectory, "report.md");
        await File.WriteAllTextAsync(path, report, CancellationToken.None);
        var verdict = FuzzRun.VerdictOf(results, inputs);
        Console.WriteLine($"\n{report}\nwritten: {path}\nverdict: {ChaosReport.Name(verdict)}");
        return ExitCode.Of(verdict);
    }

    private static FuzzPort Open(string port, ClusterFile cluster) => port switch
    {
        "rest" => new RestFuzz(new IPEndPoint(IPAddress.Parse(cluster.Nodes[0].Http.Host), cluster.Nodes[0].Http.Port)),
        "binary" => new BinaryFuzz(cluster.Nodes[0].Binary),
        _ => new PeerFuzz(
            cluster.Nodes[0].Peer, cluster.ClusterId, [.. cluster.Nodes.Select(node => node.Name)],
            port == "peer" ? null : new ClusterSecret(Encoding.UTF8.GetBytes(Secret))),
    };
}
