using KvStore.LoadTests.Chaos;
using KvStore.LoadTests.CommandLine;
using KvStore.LoadTests.Load;
using KvStore.LoadTests.Reports;
using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Commands;

/// <summary>What several commands ask for.</summary>
internal static class CommonOptions
{
    public static readonly IReadOnlyList<Option> Cluster =
    [
        new("cluster", "FILE", "cluster.json", "the cluster file"),
        new("data", "DIR", "data", "data directory of the cluster; scripts/cluster.sh keeps the pids of the servers in DIR/.run"),
    ];

    public static readonly IReadOnlyList<Option> Data =
    [
        new("keys", "N", "100000", "size of the key space"),
        new("value-bytes", "N", "256", "bytes of a value"),
        new("keys-drawn", "HOW", "uniform", "uniform or zipf (0.99)"),
        new("seed", "N", "1", "of keys and values"),
    ];

    public static readonly Option Out = new("out", "DIR", null, "also write the report there, as Markdown and JSON");

    public static readonly Option Script = new("script", "FILE", "scripts/cluster.sh", "what starts and ends the servers");

    public static string CommandLine => "loadtests " + string.Join(' ', Environment.GetCommandLineArgs().Skip(1));

    public static ClusterFile ReadCluster(Arguments arguments) => ClusterFile.Read(arguments.Text("cluster"));

    public static Scenario ReadScenario(Arguments arguments, string workload)
    {
        bool zipf = arguments.Choice("keys-drawn", "uniform", "zipf") == "zipf";
        return new Scenario(
            workload, Scenario.StepsOf(workload), new KeySpace(arguments.Count("keys"), zipf),
            arguments.Count("value-bytes", min: 0), arguments.Count("seed", min: 0));
    }

    public static ServerProbe Probe(Arguments arguments, ClusterFile cluster) =>
        new(cluster, new ServerProcesses(Path.Combine(arguments.Text("data"), ".run")));

    public static ClusterScript OpenScript(Arguments arguments) => new(
        arguments.Text("script"), arguments.Text("cluster"), arguments.Text("data"));

    public static int Finish(Arguments arguments, LoadReport report, string name)
    {
        Console.WriteLine();
        Console.Write(report.ToMarkdown());
        if (arguments.TextOrNull("out") is { } directory)
        {
            report.Save(directory, name);
            Console.WriteLine($"\nwritten: {Path.Combine(directory, name)}.md and .json");
        }

        return ExitCode.Success;
    }
}

internal static class ExitCode
{
    public const int Success = 0;

    /// <summary>A promise was broken.</summary>
    public const int Failure = 1;

    /// <summary>Nothing was found out: bad arguments, servers missing, too little traffic.</summary>
    public const int NoVerdict = 2;

    public static int Of(Verdict verdict) => verdict switch
    {
        Verdict.Pass => Success,
        Verdict.Fail => Failure,
        _ => NoVerdict,
    };
}
