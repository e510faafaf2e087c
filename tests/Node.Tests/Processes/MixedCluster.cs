using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Net;
using System.Text.Json;
using KvStore.Node.Tests.Hosting;

namespace KvStore.Node.Tests.Processes;

/// <summary>
/// Three processes in three folders, each of this build or of the one before, which the environment names. One group, and heartbeats so far
/// apart that a test can stop a process between two messages.
/// </summary>
internal sealed class MixedCluster : IAsyncDisposable
{
    /// <summary>Path of the program of the build before; scripts/upgrade-moments.sh sets it.</summary>
    public const string OlderBuildVariable = "KVSTORE_OLDER_BUILD";

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(90);
    private static readonly string[] Names = ["n1", "n2", "n3"];

    private readonly string _folder = Directory.CreateTempSubdirectory("kvstore-").FullName;
    private readonly string _config;
    private readonly int[] _ports = FreePorts.Take(9);
    private readonly Dictionary<string, Process> _processes = [];
    private readonly Dictionary<string, List<string>> _lines = Names.ToDictionary(name => name, _ => new List<string>());
    private readonly Action<string> _say;
    private readonly HashSet<string> _older = [];
    private readonly Stopwatch _since = Stopwatch.StartNew();

    public MixedCluster(Action<string> say)
    {
        _say = say;
        _config = Path.Combine(_folder, "cluster.json");
        File.WriteAllText(_config, JsonSerializer.Serialize(new
        {
            clusterId = "mixed",
            replicationFactor = 3,
            virtualNodes = 16,
            groups = 1,
            nodes = Names.Select((name, i) => new
            {
                id = name,
                http = $"127.0.0.1:{_ports[i * 3]}",
                peer = $"127.0.0.1:{_ports[(i * 3) + 1]}",
                binary = $"127.0.0.1:{_ports[(i * 3) + 2]}",
            }),
            raft = new { heartbeatMs = 2000, electionTimeoutMs = 20_000 },
        }));
    }

    public HttpClient Http { get; } = new() { Timeout = TimeSpan.FromSeconds(30) };

    public Uri Url(string node, string path) => new($"http://127.0.0.1:{_ports[3 * Array.IndexOf(Names, node)]}{path}");

    public int BinaryPort(string node) => _ports[(3 * Array.IndexOf(Names, node)) + 2];

    public string Data(string node) => Path.Combine(_folder, "data", node);

    public void Say(string what) => _say($"{_since.Elapsed.TotalSeconds,6:F1} s  {what}");

    public void StartOld(string node)
    {
        _older.Add(node);
        Start(node, Environment.GetEnvironmentVariable(OlderBuildVariable)!);
    }

    public void StartNew(string node, params string[] arguments)
    {
        _older.Remove(node);
        Start(node, Path.Combine(AppContext.BaseDirectory, "KvStore.Node.dll"), arguments);
    }

    public bool Runs(string node) => _processes.TryGetValue(node, out Process? process) && !process.HasExited;

    /// <summary>
    /// SIGTERM, and the end of it. The older build may abort when it closes a connection that the other side is closing, as it is known to; not this one.
    /// </summary>
    public async Task StopAsync(string node)
    {
        int line = LineCount(node);
        await SignalAsync(node, "TERM");
        int code = await EndOfAsync(node);
        string said = string.Join('\n', Lines(node, line));
        if (code != 0 && _older.Contains(node) && said.Contains("System.ObjectDisposedException", StringComparison.Ordinal)
            && said.Contains("at KvStore.Protocol.RequestChannel.", StringComparison.Ordinal))
        {
            Say($"KNOWN FAULT of the older build: {node} was told to stop and aborted with exit code {code}");
            return;
        }

        Assert.True(code == 0, $"{node} stopped with exit code {code}: {said}");
    }

    public async Task KillAsync(string node)
    {
        await SignalAsync(node, "KILL");
        await EndOfAsync(node);
    }

    public async Task<int> EndOfAsync(string node)
    {
        using Process process = _processes[node];
        await process.WaitForExitAsync().WaitAsync(Limit);
        _processes.Remove(node);
        return process.ExitCode;
    }

    public async Task SignalAsync(string node, string signal)
    {
        using Process kill = Process.Start("kill", ["-" + signal, $"{_processes[node].Id}"]);
        await kill.WaitForExitAsync();
        Assert.Equal(0, kill.ExitCode);
    }

    /// <summary>What the process of a node has said since a line number of its folder's life.</summary>
    public IReadOnlyList<string> Lines(string node, int from = 0)
    {
        List<string> lines = _lines[node];
        lock (lines)
        {
            return lines[from..];
        }
    }

    public int LineCount(string node) => Lines(node).Count;

    public Task ReadyAsync(params string[] nodes) => UntilAsync($"{string.Join(", ", nodes)} ready", async () =>
    {
        foreach (string node in nodes)
        {
            Assert.True(Runs(node), $"{node} has ended:\n{string.Join('\n', Lines(node))}");
            try
            {
                using HttpResponseMessage ready = await Http.GetAsync(Url(node, "/health/ready"));
                if (ready.StatusCode != HttpStatusCode.OK)
                {
                    return false;
                }
            }
            catch (HttpRequestException)
            {
                return false;
            }
        }

        return true;
    });

    public Task SaysAsync(string node, string what, int from) =>
        UntilAsync($"{node} says \"{what}\"", () => Task.FromResult(Lines(node, from).Any(l => l.Contains(what, StringComparison.Ordinal))));

    /// <summary>A metric of a node, 0 when it has none of that name.</summary>
    public async Task<double> MetricAsync(string node, string name)
    {
        string text = await Http.GetStringAsync(Url(node, "/metrics"));
        string? line = text.Split('\n').FirstOrDefault(l => l.StartsWith(name, StringComparison.Ordinal) && l[name.Length] is ' ' or '{');
        return line is null ? 0 : double.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture);
    }

    public Task<double> LevelAsync(string node) => MetricAsync(node, "kvstore_feature_level");

    public Task LeadsAsync(string node) =>
        UntilAsync($"{node} leads", async () => await MetricAsync(node, "kvstore_raft_leader") == 1);

    /// <summary>The preferred leader first.</summary>
    public async Task<string[]> ReplicasAsync()
    {
        JsonElement groups = await Http.GetFromJsonAsync<JsonElement>(Url(Names.First(Runs), "/v1/cluster/groups"));
        return [.. groups.GetProperty("groups")[0].GetProperty("replicas").EnumerateArray().Select(r => r.GetProperty("node").GetString()!)];
    }

    public async Task<(HttpStatusCode Status, string Body, HttpResponseMessage Reply)> SendAsync(
        HttpMethod method, string node, string path, string? body = null, string? idempotencyKey = null)
    {
        using HttpRequestMessage request = new(method, Url(node, path)) { Content = body is null ? null : new StringContent(body) };
        if (idempotencyKey is not null)
        {
            request.Headers.Add("Idempotency-Key", $"\"{idempotencyKey}\"");
        }

        HttpResponseMessage reply = await Http.SendAsync(request);
        return (reply.StatusCode, await reply.Content.ReadAsStringAsync(), reply);
    }

    public int IdentityVersion(string node) => File.ReadAllBytes(Path.Combine(Data(node), "identity"))[8];

    public static async Task UntilAsync(string what, Func<Task<bool>> holds, int pollMs = 50)
    {
        Stopwatch waited = Stopwatch.StartNew();
        while (!await holds())
        {
            Assert.True(waited.Elapsed < Limit, $"not within {Limit.TotalSeconds} s: {what}");
            await Task.Delay(pollMs);
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (string node in _processes.Keys.ToArray())
        {
            await KillAsync(node);
        }

        Http.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private void Start(string node, string program, params string[] arguments)
    {
        ProcessStartInfo start = new("dotnet")
        {
            ArgumentList = { program, "--node", node, "--config", _config, "--data", Path.Combine(_folder, "data") },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        Array.ForEach(arguments, start.ArgumentList.Add);
        Process process = Process.Start(start)!;
        process.OutputDataReceived += (_, line) => Keep(node, line.Data);
        process.ErrorDataReceived += (_, line) => Keep(node, line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        _processes[node] = process;
    }

    private void Keep(string node, string? line)
    {
        if (line is not null)
        {
            lock (_lines[node])
            {
                _lines[node].Add(line);
            }
        }
    }
}

/// <summary>A test with the program of the build before; without one it says how to get it.</summary>
internal sealed class OlderBuildFactAttribute : FactAttribute
{
    public OlderBuildFactAttribute()
    {
        if (string.IsNullOrEmpty(Environment.GetEnvironmentVariable(MixedCluster.OlderBuildVariable)))
        {
            Skip = "needs the build before: scripts/upgrade-moments.sh";
        }
    }
}
