using System.Net;
using KvStore.LoadTests.Chaos;
using KvStore.LoadTests.CommandLine;
using KvStore.LoadTests.Hostile;
using KvStore.LoadTests.Reports;
using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Commands;

/// <summary>hostile: attacks on a node while another client works, and a verdict. attack: the attacker's own process.</summary>
internal static class HostileCommand
{
    private static readonly string[] Names = [.. Attack.All.Select(attack => attack.Name)];

    /// <summary>Few places, and all of them for one address: what keeps a place for the other client is switched off.</summary>
    private static readonly Dictionary<string, string> Unprotected = new()
    {
        ["KVSTORE__Doors__Connections"] = "500",
        ["KVSTORE__Doors__ConnectionsPerAddress"] = "500",
        ["KVSTORE__Doors__HelloMs"] = "60000",
    };

    private static readonly IReadOnlyList<Option> Options =
    [
        new("attacks", "LIST", null, "some of them, separated by commas; all when left out: " + string.Join(", ", Names)),
        new("rounds", "N", "5", "of all attacks; figures are medians"),
        new("seconds", "S", "5", "so long the other client works before and again under each attack"),
        new("quick", null, null, "one round, two seconds each: whether it works, not how well"),
        new("control", null, null, "nodes whose share per address is switched off; exit code 0 when the verdict is a failure"),
        new("out", "DIR", "out/hostile", "report.md and the data of the nodes; the data of an earlier run there is deleted"),
        new("cluster", "FILE", "cluster.json", "the cluster file"),
        CommonOptions.Script,
    ];

    public static Command Create() => new(
        "hostile", "attacks a node while another client works; exit code 0 pass, 1 fail, 2 no verdict", Options, RunAsync);

    public static Command CreateAttack() => new(
        AttackerProcess.CommandName, "one attack on one node until its input ends (used by hostile)",
        [
            new("name", "NAME", null, string.Join(", ", Names)),
            new("cluster", "FILE", "cluster.json", "the cluster file"),
            new("node", "NAME", null, "the node"),
            new("from", "ADDRESS", "127.0.0.2", "local address of its connections"),
        ],
        AttackAsync);

    private static async Task<int> RunAsync(Arguments arguments, CancellationToken cancellation)
    {
        var attacks = arguments.ListOrNull("attacks") is { } names
            ? [.. names.Select(name => Attack.All.FirstOrDefault(known => known.Name == name)
                ?? throw new UsageException($"there is no attack '{name}'; there are {string.Join(", ", Names)}"))]
            : Attack.All;
        bool isQuick = arguments.Has("quick");
        int rounds = isQuick ? 1 : arguments.Count("rounds");
        var length = isQuick ? TimeSpan.FromSeconds(2) : arguments.Seconds("seconds");
        string outDirectory = Path.GetFullPath(arguments.Text("out"));
        var cluster = CommonOptions.ReadCluster(arguments);
        var context = RunContext.Capture(CommonOptions.CommandLine);
        await OwnServers.RefuseToShareAsync(cluster, cancellation);
        string data = OwnServers.PrepareData(outDirectory);
        var script = new ClusterScript(arguments.Text("script"), arguments.Text("cluster"), data, arguments.Has("control") ? Unprotected : null);
        var run = new HostileRun(cluster, script, new ServerProcesses(Path.Combine(data, ".run")), Progress.OnConsole()) { Length = length };
        var figures = await run.RunAsync(attacks, rounds, cancellation);

        string report = figures.Report(context, AttackerProcess.IsLimited ? "a fifth of a processor" : "at the lowest priority, not limited");
        string path = Path.Combine(outDirectory, "report.md");
        await File.WriteAllTextAsync(path, report, CancellationToken.None);
        Console.WriteLine($"\n{report}\nwritten: {path}\nverdict: {ChaosReport.Name(figures.Verdict)}");
        return !arguments.Has("control") ? ExitCode.Of(figures.Verdict)
            : figures.Verdict == Verdict.Fail ? ExitCode.Success : ExitCode.Failure;
    }

    private static async Task<int> AttackAsync(Arguments arguments, CancellationToken cancellation)
    {
        var cluster = CommonOptions.ReadCluster(arguments);
        var attack = Attack.All.First(known => known.Name == arguments.Choice("name", Names));
        var attacker = new Attacker(cluster.Select([arguments.Text("node")])[0], attack, IPAddress.Parse(arguments.Text("from")));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var running = attacker.RunAsync(stop.Token);
        var told = Console.In.ReadToEndAsync(cancellation);
        while (await Task.WhenAny(told, Task.Delay(250, cancellation)) != told)
        {
            Console.WriteLine(attacker.Mounted.Now);
        }

        await stop.CancelAsync();
        Console.WriteLine(attacker.Mounted.Now);
        await Task.WhenAny(running, Task.Delay(1000, CancellationToken.None));
        return ExitCode.Success;
    }
}
