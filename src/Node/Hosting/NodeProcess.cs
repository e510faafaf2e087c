using System.Text;
using System.Text.Json;
using KvStore.Node.Config;
using KvStore.Node.Logging;
using KvStore.Storage;
using Serilog.Core;

namespace KvStore.Node.Hosting;

/// <summary>The nodes of this process, one or all of the file: starts them, shows where they are, and stops them on a signal.</summary>
internal sealed class NodeProcess(Configuration configuration, StartOptions options, StopSignals signals)
{
    private const int ReadyLimitMs = 10_000;
    private const int ReadyPollMs = 50;

    /// <summary>For so long at most standard output is waited for.</summary>
    private const int BannerMs = 1000;

    private ClusterConfig _cluster = configuration.Cluster;

    public async Task<int> RunAsync()
    {
        var logger = NodeLogging.Create(_cluster.Log);
        try
        {
            return await RunAsync(logger).ConfigureAwait(false);
        }
        finally
        {
            await NodeLogging.CloseAsync(logger).ConfigureAwait(false);
        }
    }

    private async Task<int> RunAsync(Logger logger)
    {
        var names = NamesToRun().ToList();
        PrepareRunFolder();
        FindSecret();
        var nodes = names
            .Select(name => new NodeHost(_cluster, name, options.DataDirectory, NodeLogging.ForNode(logger, name)))
            .ToList();
        try
        {
            await StartAsync(nodes).ConfigureAwait(false);
            signals.BeginServing();
            await ReadyAsync(nodes).ConfigureAwait(false);
            await ShowWhereTheyAreAsync(nodes).ConfigureAwait(false);
            return await UntilStopAsync(nodes).ConfigureAwait(false);
        }
        finally
        {
            // All nodes of the file stop together: there is nobody to hand leadership to.
            await Task.WhenAll(nodes.Select(node => node.StopAsync(handOver: options.Node is not null))).ConfigureAwait(false);
        }
    }

    private IEnumerable<string> NamesToRun()
    {
        if (options.Node is not { } name)
        {
            return _cluster.Nodes.Select(node => node.Id);
        }

        if (_cluster.Nodes.FirstOrDefault(node => node.Id == name) is not { } node)
        {
            var known = string.Join(", ", _cluster.Nodes.Select(n => n.Id));
            throw new ConfigurationException($"--node {name}: {configuration.File} lists {known}; name one of them");
        }

        return node.Http.Port != 0 && _cluster.Nodes.All(n => n.Peer.Port != 0 && n.Binary.Port != 0)
            ? [name]
            : throw new ConfigurationException(
                $"{configuration.File}: port 0 is possible only when all nodes run in one process; give every address a port");
    }

    // Whether it can be written is found out before anything else is touched.
    private void PrepareRunFolder() => InRunFolder(() =>
    {
        Directory.CreateDirectory(RunFolder);
        File.Create(Path.Combine(RunFolder, $".{Environment.ProcessId}"), 1, FileOptions.DeleteOnClose).Dispose();
    });

    /// <summary>Given, or in the data folder. A process that runs all nodes makes one there: nobody has to be told.</summary>
    private void FindSecret()
    {
        var file = SecretFile.DefaultIn(options.DataDirectory);
        if (_cluster.Security.ClusterSecret is not null)
        {
            return;
        }

        if (options.Node is null || File.Exists(file))
        {
            var secret = options.Node is null ? SecretFile.ReadOrCreate(file) : SecretFile.Read(file);
            _cluster = _cluster with { Security = _cluster.Security with { ClusterSecret = secret } };
        }
        else if (_cluster.Nodes.SelectMany(node => node.Addresses).FirstOrDefault(address => !address.ListensOnLoopback) is { } open)
        {
            throw new ConfigurationException(
                $"{open.Listened} can be reached by other machines, and any of them could pass for a node: the cluster has no secret. "
                + $"Write one (openssl rand -hex 32 > cluster-secret), give every node the same, and name it in {SecretFile.Setting} "
                + $"or put it into {SecretFile.Variable}");
        }
    }

    private string RunFolder => Path.Combine(options.DataDirectory, ".run");

    private async Task StartAsync(List<NodeHost> nodes)
    {
        foreach (var node in nodes)
        {
            await node.OpenPortsAsync(CancellationToken.None).ConfigureAwait(false);
        }

        NodeConfig[] addresses =
            [.. _cluster.Nodes.Select(configured => nodes.Find(node => node.Name == configured.Id)?.Endpoints ?? configured)];
        await Task.WhenAll(nodes.Select(node => Task.Run(() => node.Start(addresses)))).ConfigureAwait(false);
        WriteEndpoints(nodes);
    }

    // For scripts and tests: with port 0 nobody could find us otherwise.
    private void WriteEndpoints(List<NodeHost> nodes) => InRunFolder(() =>
    {
        Directory.CreateDirectory(RunFolder);
        foreach (var node in nodes)
        {
            var text = JsonSerializer.Serialize(new
            {
                node = node.Name,
                pid = Environment.ProcessId,
                http = $"{node.Endpoints.Http}",
                peer = $"{node.Endpoints.Peer}",
                binary = $"{node.Endpoints.Binary}",
            });

            // Over what an earlier process has written, whose block is there already.
            using var file = new FileStream(Path.Combine(RunFolder, $"{node.Name}.json"), FileMode.OpenOrCreate, FileAccess.Write, FileShare.Read);
            file.Write(Encoding.UTF8.GetBytes(text + "\n"));
            file.SetLength(file.Position);
        }
    });

    private void InRunFolder(Action write)
    {
        try
        {
            write();
        }
        catch (IOException e) when (new StorageException("cannot write", RunFolder, 0, e.HResult).IsFull)
        {
            // No reason to stay away: the nodes have room set aside for their start. Who looks here finds an earlier process, or nobody.
            Console.Error.WriteLine($"warning: the disk is full, {RunFolder} does not say where this process listens");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            var cause = File.Exists(RunFolder) || File.Exists(options.DataDirectory) ? "not a directory" : e.Message.TrimEnd('.');
            throw new ConfigurationException(
                $"cannot use the data directory: cannot write {RunFolder}, where this process says its addresses: {cause}; "
                + "give this user the right to, or choose another folder with --data DIR", e);
        }
    }

    private async Task ReadyAsync(List<NodeHost> nodes)
    {
        var until = Environment.TickCount64 + ReadyLimitMs;
        while (!AllGroupsAreLed(nodes) && Environment.TickCount64 < until
            && !signals.Asked.IsCompleted && !nodes.Exists(node => node.Failed.IsCompleted))
        {
            await Task.Delay(ReadyPollMs).ConfigureAwait(false);
        }
    }

    /// <summary>Ready, and with every node of the cluster in this process each group is led by exactly one of them.</summary>
    private bool AllGroupsAreLed(List<NodeHost> nodes) =>
        nodes.TrueForAll(node => node.Store!.IsReady)
        && (nodes.Count < _cluster.Nodes.Count
            || Banner.GroupsLed(nodes).Order().SequenceEqual(Enumerable.Range(1, _cluster.Groups).Select(group => (uint)group)));

    // A terminal or a pipe that takes nothing keeps no signal waiting.
    private async Task ShowWhereTheyAreAsync(List<NodeHost> nodes)
    {
        if (options.Node is null && _cluster.Log.Format == LogFormat.Text && !signals.Asked.IsCompleted)
        {
            var banner = Banner.Of(_cluster, nodes, Path.GetFullPath(options.DataDirectory));
            await Task.WhenAny(Task.Run(() => Console.Out.Write(banner)), Task.Delay(BannerMs)).ConfigureAwait(false);
        }
    }

    /// <summary>Until a signal. A node that fails is taken down by itself; the process ends when none is left.</summary>
    private async Task<int> UntilStopAsync(List<NodeHost> nodes)
    {
        var exitCode = ExitCode.Stopped;
        while (nodes.Count > 0)
        {
            var first = await Task.WhenAny([signals.Asked, .. nodes.Select(node => node.Failed)]).ConfigureAwait(false);
            if (first == signals.Asked)
            {
                break;
            }

            var failed = nodes.Find(node => node.Failed == first)!;
            exitCode = exitCode == ExitCode.Stopped ? await failed.Failed.ConfigureAwait(false) : exitCode;
            nodes.Remove(failed);
            await failed.DisposeAsync().ConfigureAwait(false);
        }

        return exitCode;
    }
}
