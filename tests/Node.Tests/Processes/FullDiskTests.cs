using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json;
using KvStore.Node.Tests.Hosting;
using Xunit.Abstractions;

namespace KvStore.Node.Tests.Processes;

/// <summary>Real file systems without room. Needs root and loop devices; says so loudly and does nothing where they are not.</summary>
public sealed class FullDiskTests(ITestOutputHelper output) : IDisposable
{
    private const string Serving = "serving:";
    private const long LeftBytes = 200_000;

    private static readonly string[] Names = ["n1", "n2", "n3"];

    private readonly string _folder = Directory.CreateTempSubdirectory("kvstore-full-").FullName;
    private readonly List<string> _mounted = [];
    private readonly List<NodeProcess> _nodes = [];
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(20) };

    [Theory]
    [InlineData(LeftBytes)]
    [InlineData(0)]
    public async Task B2_nodes_on_full_disks_start_vote_serve_and_write_again_when_there_is_room(long leftBytes)
    {
        if (!Names.All(MountDisk))
        {
            output.WriteLine("SKIPPED: file systems cannot be made and mounted here, it takes root and loop devices. NOTHING WAS TESTED.");
            Console.Error.WriteLine("FullDiskTests SKIPPED: no root or no loop devices");
            return;
        }

        int[] ports = FreePorts.Take(9);
        Uri[] urls = [.. Names.Select((_, i) => new Uri($"http://127.0.0.1:{ports[3 * i]}"))];
        string config = WriteConfig(ports);
        await StartAllAsync(config);
        for (int i = 0; i < 40; i++)
        {
            Assert.Equal(HttpStatusCode.Created, await PutAsync(urls[i % 3], $"kept-{i}"));
        }

        Array.ForEach(Names, name => FillUp(name, leftBytes));
        await Task.Delay(TimeSpan.FromSeconds(1.5));
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(HttpStatusCode.InsufficientStorage, await PutAsync(urls[i % 3], $"refused-{i}"));
        }

        // Each start takes what was set aside for one, and leaves nothing for the next.
        for (int round = 0; round < 3; round++)
        {
            await Task.WhenAll(_nodes.Select(node => node.KillAsync()));
            _nodes.Clear();
            await StartAllAsync(config);
            Assert.Equal(HttpStatusCode.OK, (await _http.GetAsync(new Uri(urls[round], "/v1/kv/kept-1"))).StatusCode);
            Assert.Equal(HttpStatusCode.NoContent, (await _http.DeleteAsync(new Uri(urls[round], $"/v1/kv/kept-{10 + round}"))).StatusCode);
            Assert.Equal(HttpStatusCode.InsufficientStorage, await PutAsync(urls[round], "refused"));
        }

        Array.ForEach(Names, name => File.Delete(Path.Combine(DiskOf(name), "others")));
        await UntilAsync(async () => await PutAsync(urls[0], "again") == HttpStatusCode.Created);
        foreach (Uri url in urls)
        {
            Assert.Equal(HttpStatusCode.OK, (await _http.GetAsync(new Uri(url, "/v1/kv/kept-39"))).StatusCode);
            Assert.Equal(HttpStatusCode.NotFound, (await _http.GetAsync(new Uri(url, "/v1/kv/kept-12"))).StatusCode);
            Assert.Equal(HttpStatusCode.NotFound, (await _http.GetAsync(new Uri(url, "/v1/kv/refused-3"))).StatusCode);
        }
    }

    public void Dispose()
    {
        _nodes.ForEach(node => node.Dispose());
        _mounted.ForEach(disk => Run("umount", disk));
        _http.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private string DiskOf(string name) => Path.Combine(_folder, name);

    private async Task StartAllAsync(string config) =>
        _nodes.AddRange(await Task.WhenAll(Names.Select(name => NodeProcess.StartAsync(config, DiskOf(name), Serving, "--node", name))));

    private bool MountDisk(string name)
    {
        string image = $"{DiskOf(name)}.img";
        Directory.CreateDirectory(DiskOf(name));
        if (Run("truncate", "-s", "256M", image) != 0 || Run("mkfs.ext4", "-q", "-F", "-m", "0", image) != 0
            || Run("mount", "-o", "loop", image, DiskOf(name)) != 0)
        {
            return false;
        }

        _mounted.Add(DiskOf(name));
        return true;
    }

    /// <summary>Somebody else's file takes everything but so many bytes, block by block at the end.</summary>
    private void FillUp(string name, long leftBytes)
    {
        using FileStream others = new(Path.Combine(DiskOf(name), "others"), FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);
        for (int piece = 1 << 20; piece >= 4096; piece /= 4)
        {
            byte[] bytes = new byte[piece];
            try
            {
                while (new DriveInfo(DiskOf(name)).AvailableFreeSpace - piece >= leftBytes)
                {
                    others.Write(bytes);
                    others.Flush(flushToDisk: true);
                }
            }
            catch (IOException)
            {
                // Smaller pieces may still find some.
            }
        }
    }

    private async Task<HttpStatusCode> PutAsync(Uri url, string key)
    {
        byte[] value = new byte[200_000];
        Random.Shared.NextBytes(value);
        using HttpResponseMessage answer = await _http.PutAsync(new Uri(url, $"/v1/kv/{key}"), new ByteArrayContent(value));
        if (answer.StatusCode == HttpStatusCode.InsufficientStorage)
        {
            JsonElement problem = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement;
            Assert.Equal(("DiskFull", "not-applied"), (problem.GetProperty("code").GetString(), problem.GetProperty("outcome").GetString()));
        }

        return answer.StatusCode;
    }

    private static async Task UntilAsync(Func<Task<bool>> holds)
    {
        Stopwatch waited = Stopwatch.StartNew();
        while (!await holds())
        {
            Assert.True(waited.Elapsed < TimeSpan.FromSeconds(20), "it did not come to be");
            await Task.Delay(100);
        }
    }

    private string WriteConfig(int[] ports)
    {
        string path = Path.Combine(_folder, "cluster.json");
        File.WriteAllText(path, JsonSerializer.Serialize(new
        {
            clusterId = "full-disks",
            groups = 4,
            virtualNodes = 64,
            nodes = Names.Select((name, i) => new
            {
                id = name,
                http = $"127.0.0.1:{ports[3 * i]}",
                peer = $"127.0.0.1:{ports[3 * i + 1]}",
                binary = $"127.0.0.1:{ports[3 * i + 2]}",
            }),
        }));
        return path;
    }

    private int Run(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
            string error = process.StandardError.ReadToEnd();
            process.WaitForExit();
            output.WriteLine(process.ExitCode == 0 ? string.Empty : string.Create(CultureInfo.InvariantCulture, $"{program}: {error}"));
            return process.ExitCode;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            output.WriteLine($"{program}: {e.Message}");
            return -1;
        }
    }
}
