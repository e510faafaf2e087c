namespace KvStore.Storage;

/// <summary>
/// Directories that are still there after a power cut: a new name is durable only once every directory above it is synced.
/// </summary>
public static class DurableDirectory
{
    /// <summary>Creates a directory and its parents and makes all their names durable. Harmless when it exists.</summary>
    public static void Create(IFileSystem files, string path)
    {
        files.CreateDirectory(path);

        // An existing directory may be one whose creation was never synced: its parents are synced all the same.
        for (string? parent = ParentOf(path); parent is not null; parent = ParentOf(parent))
        {
            files.SyncDirectory(parent);
        }
    }

    private static string? ParentOf(string path) => path.LastIndexOf('/') switch
    {
        < 0 => path == "." ? null : ".",
        0 => path == "/" ? null : "/",
        int end => path[..end],
    };
}
