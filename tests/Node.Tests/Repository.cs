namespace KvStore.Node.Tests;

internal static class Repository
{
    /// <summary>The folder of KvStore.sln.</summary>
    public static string Root { get; } = Find(new DirectoryInfo(AppContext.BaseDirectory));

    private static string Find(DirectoryInfo folder) =>
        File.Exists(Path.Combine(folder.FullName, "KvStore.sln")) ? folder.FullName : Find(folder.Parent!);
}
