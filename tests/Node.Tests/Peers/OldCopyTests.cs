using KvStore.Node.Tests.Hosting;
using KvStore.Replication;

namespace KvStore.Node.Tests.Peers;

/// <summary>
/// A folder that is put back as it was some starts ago has forgotten votes and entries. It was let in as soon as it had been started often
/// enough to outgrow the number its peers knew, and a write that one good disk of three still had was lost.
/// </summary>
public sealed class OldCopyTests
{
    private const int Starts = 20;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A1_an_old_copy_of_a_folder_is_never_let_in_however_often_it_is_started(bool restoredEachTime)
    {
        await using var nodes = new SeparateNodes();
        await nodes.StartAsync("n1", "n2", "n3");
        await nodes.PutAsync("n1", "key", "v0");
        await nodes.StopAsync("n3");
        string copy = Copy(nodes.FolderOf("n3"), $"{nodes.FolderOf("n3")}-copy");
        for (int restart = 0; restart < 2; restart++)
        {
            await nodes.StartAsync("n3");
            await ConnectedAsync(nodes, connections: 2);
            await nodes.StopAsync("n3");
        }

        await nodes.StopAsync("n2");
        await nodes.StartAsync("n3");
        await nodes.PutAsync("n1", "key", "v1");
        await nodes.StopAsync("n3", "n1");
        Restore(copy, nodes.FolderOf("n3"));
        await nodes.StartAsync("n2", disk: null);
        for (int start = 1; start <= Starts; start++)
        {
            if (restoredEachTime)
            {
                Restore(copy, nodes.FolderOf("n3"));
            }
            else
            {
                // Nor is it the mark alone that keeps it out.
                File.Delete(Path.Combine(nodes.FolderOf("n3"), "refused"));
            }

            await IsRefusedAsync(nodes, start);
        }

        Assert.Equal(0, nodes["n2"].PeerCounters.Connects);
        await nodes.StartAsync("n1");
        Assert.Equal("v1", await nodes.GetAsync("n2", "key"));
    }

    [Fact]
    public async Task A1_a_refusal_as_an_old_copy_is_kept_in_the_folder_and_the_right_folder_is_let_in_again()
    {
        await using var nodes = new SeparateNodes();
        await nodes.StartAsync("n1", "n2", "n3");
        await nodes.StopAsync("n3");
        string copy = Copy(nodes.FolderOf("n3"), $"{nodes.FolderOf("n3")}-copy");
        await nodes.StartAsync("n3");
        await nodes.StopAsync("n3");
        string newest = Copy(nodes.FolderOf("n3"), $"{nodes.FolderOf("n3")}-newest");

        Restore(copy, nodes.FolderOf("n3"));
        await IsRefusedAsync(nodes, start: 1);
        IdentityException kept = await Assert.ThrowsAsync<IdentityException>(() => nodes.StartAsync("n3", disk: null));
        Assert.Contains("old copy", kept.Message);
        await nodes.StopAsync("n3");

        Restore(newest, nodes.FolderOf("n3"));
        await nodes.StartAsync("n3");
        await nodes.PutAsync("n3", "key", "value");
    }

    private static async Task IsRefusedAsync(SeparateNodes nodes, int start)
    {
        var n3 = await nodes.StartAsync("n3", disk: null);
        Task first = await Task.WhenAny(n3.Failed, Task.Delay(TimeSpan.FromSeconds(5)));
        Assert.True(first == n3.Failed, $"start {start}: the old copy was not refused");
        Assert.Equal(2, await n3.Failed);
        Assert.Contains(nodes.Logs.Lines, line => line.Id == 107 && line.Text.Contains("an old copy"));
        await nodes.StopAsync("n3");
    }

    private static Task ConnectedAsync(SeparateNodes nodes, int connections) => RunningCluster.UntilAsync(
        "the others have let n3 in", () => Task.FromResult(nodes["n3"].PeerCounters.Connects >= connections));

    private static string Copy(string from, string to)
    {
        foreach (string file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
        {
            string target = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }

        return to;
    }

    private static void Restore(string copy, string folder)
    {
        Directory.Delete(folder, recursive: true);
        Copy(copy, folder);
    }
}
