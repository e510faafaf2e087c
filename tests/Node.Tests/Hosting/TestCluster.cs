using System.Text.Json;

namespace KvStore.Node.Tests.Hosting;

/// <summary>A folder with a cluster.json of its own, removed at the end of the test. Every port is 0 unless said otherwise.</summary>
public sealed class TestCluster : IDisposable
{
    public TestCluster(int nodes = 1, Func<int, int>? port = null)
    {
        Folder = Directory.CreateTempSubdirectory("kvstore-test-").FullName;
        port ??= _ => 0;
        Write(new
        {
            clusterId = "test",
            replicationFactor = nodes >= 3 ? 3 : 1,
            virtualNodes = 64,
            groups = 4,
            nodes = Enumerable.Range(1, nodes).Select(i => new
            {
                id = $"n{i}",
                http = $"127.0.0.1:{port(3 * i)}",
                peer = $"127.0.0.1:{port((3 * i) + 1)}",
                binary = $"127.0.0.1:{port((3 * i) + 2)}",
            }),
            raft = new { tickMs = 20, heartbeatMs = 60, electionTimeoutMs = 400 },
        });
    }

    public string Folder { get; }
    public string File => Path.Combine(Folder, "cluster.json");
    public string Data => Path.Combine(Folder, "data");

    public void Write(object content) => System.IO.File.WriteAllText(File, JsonSerializer.Serialize(content));

    /// <summary>The file with one piece of text replaced; fails when the text is not there.</summary>
    public void Replace(string old, string with)
    {
        var text = System.IO.File.ReadAllText(File);
        Assert.Contains(old, text);
        System.IO.File.WriteAllText(File, text.Replace(old, with));
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
