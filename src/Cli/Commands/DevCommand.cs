using System.Collections;
using System.CommandLine;
using System.Text.Json;
using KvStore.Node.Config;
using KvStore.Node.Hosting;

namespace KvStore.Cli.Commands;

/// <summary>Three nodes in this process, for trying things out: real sockets and disks, stopped by Ctrl-C.</summary>
internal static class DevCommand
{
    public static Command Create()
    {
        var data = new Option<string>("--data") { Description = "Where the nodes keep their data.", DefaultValueFactory = _ => "./kvctl-dev" };
        var port = new Option<int>("--port") { Description = "Nine ports are taken: http at this one and the next two, peer 100 above them, binary 200 above.", DefaultValueFactory = _ => 7101 };
        var command = new Command("dev", "Starts three nodes in this process and prints where they are.") { data, port };
        command.SetAction(async (parsed, _) =>
        {
            using var signals = new StopSignals();
            string folder = Path.GetFullPath(parsed.GetValue(data)!);
            string file = Path.Combine(folder, "cluster.json");
            Directory.CreateDirectory(folder);
            await File.WriteAllTextAsync(file, FileOf(parsed.GetValue(port)), CancellationToken.None);
            try
            {
                StartOptions start = StartOptions.Parse(["--config", file, "--data", folder]);
                return await new NodeProcess(Configuration.Load(file, new Hashtable(), start.Overrides, start.Node), start, signals).RunAsync();
            }
            catch (ConfigurationException e)
            {
                throw new ArgumentException(e.Message, e);
            }
        });
        return command;
    }

    private static string FileOf(int port) => JsonSerializer.Serialize(
        new
        {
            clusterId = "dev",
            replicationFactor = 3,
            virtualNodes = 1024,
            groups = 16,
            nodes = Enumerable.Range(0, 3).Select(i => new
            {
                id = $"n{i + 1}",
                http = $"127.0.0.1:{port + i}",
                peer = $"127.0.0.1:{port + 100 + i}",
                binary = $"127.0.0.1:{port + 200 + i}",
            }),
        },
        Json.Indented);
}
