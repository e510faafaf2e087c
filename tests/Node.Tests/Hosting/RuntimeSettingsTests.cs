using System.Text.Json;

namespace KvStore.Node.Tests.Hosting;

/// <summary>What the runtime is told by the file beside the program, however it is started.</summary>
public sealed class RuntimeSettingsTests
{
    [Fact]
    public void Idle_pool_workers_sleep_instead_of_spinning()
    {
        using JsonDocument file = JsonDocument.Parse(
            File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "KvStore.Node.runtimeconfig.json")));
        JsonElement properties = file.RootElement.GetProperty("runtimeOptions").GetProperty("configProperties");
        Assert.Equal(0, properties.GetProperty("System.Threading.ThreadPool.UnfairSemaphoreSpinLimit").GetInt32());
    }
}
