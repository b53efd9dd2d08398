// SPDX-License-Identifier: Apache-2.0
//! Where a command's data goes: standard output, or a file that is there as a whole or not at all.
//!
//! A file is written under another name beside its own and renamed once it is complete, so that a reader, a full disk or an
//! interrupted run never meets a half one. It holds exactly what was written: JSON without a newline at its end, the contract's
//! way; standard output always has one. What is no regular file (`/dev/null`, a pipe) is written as it is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use osprofiler::shown::shell_word;

use crate::printer::Printer;
use crate::status::Failure;

/// Why data was not written: the output failed, or what it was to be made of.
pub(crate) enum Broken {
    Output(io::Error),
    Source(Failure),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Source(failure)
    }
}

impl Broken {
    /// The failure of a command that could not write to `target`.
    pub(crate) fn into_failure(self, target: &str) -> Failure {
        match self {
            Self::Output(error) => Failure::io(format!("cannot write {target}"), &error),
            Self::Source(failure) => failure,
        }
    }
}

/// Writes the data to the file `path`, or to stdout if there is none or it is `-`.
pub(crate) fn write(
    path: Option<&Path>,
    printer: &mut Printer<'_>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Broken>,
) -> Result<(), Failure> {
    match path.filter(|path| !is_stdout(path)) {
        Some(path) => write_file(path, write).map_err(|broken| {
            missing_folder(path, &broken).unwrap_or_else(|| match broken {
                Broken::Output(error) => Failure::file("write", path, &error),
                Broken::Source(failure) => failure,
            })
        }),
        None => printer.data(write),
    }
}

/// The failure of a file whose folder is not there.
fn missing_folder(path: &Path, broken: &Broken) -> Option<Failure> {
    let folder = path.parent()?;
    let is_missing = matches!(broken, Broken::Output(error) if error.kind() == io::ErrorKind::NotFound)
        && !folder.as_os_str().is_empty()
        && !folder.exists();
    is_missing.then(|| {
        let (path, folder) = (path.display(), folder.display());
        let word = shell_word(&folder);
        Failure::failed(format!(
            "cannot write `{path}`: there is no folder `{folder}`"
        ))
        .with_help(format!("make it: `mkdir -p {word}`"))
    })
}

/// Whether `-o` got the name that stands for standard output.
pub(crate) fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// Writes the file `path` as a whole or not at all.
pub(crate) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Broken>,
) -> Result<(), Broken> {
    // What a link points to is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let existing = fs::metadata(&path).ok();
    match &existing {
        Some(metadata) if metadata.is_dir() => {
            return Err(io::Error::other("it is a directory").into());
        }
        Some(metadata) if !metadata.is_file() => {
            return fill(OpenOptions::new().write(true).open(&path)?, write);
        }
        _ => {}
    }
    let part = Part::beside(&path)?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&part.path)?;
    if let Some(metadata) = existing {
        file.set_permissions(metadata.permissions())?;
    }
    fill(file, write)?;
    fs::rename(&part.path, &path)?;
    Ok(())
}

fn fill(
    file: File,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let mut buffered = BufWriter::new(file);
    write(&mut buffered)?;
    Ok(buffered.flush()?)
}

/// The unfinished file, removed unless it was renamed.
struct Part {
    path: PathBuf,
}

impl Part {
    fn beside(path: &Path) -> io::Result<Self> {
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::other("it names no file"))?;
        let mut part = std::ffi::OsString::from(".");
        part.push(name);
        part.push(format!(".{}.part", std::process::id()));
        let path = path.with_file_name(part);
        // Left by an earlier process of the same number.
        let _absent = fs::remove_file(&path);
        Ok(Self { path })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _renamed = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        fs::write(&path, "old").unwrap();
        write_file(&path, |out| {
            out.write_all(&vec![b'x'; 100_000])?;
            Err(io::Error::from(io::ErrorKind::StorageFull).into())
        })
        .err()
        .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_of_the_old_file_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        write_file(&link, |out| Ok(out.write_all(b"new")?))
            .ok()
            .unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn what_is_no_regular_file_is_written_as_it_is() {
        write_file(Path::new("/dev/null"), |out| Ok(out.write_all(b"x")?))
            .ok()
            .unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let folder = tempfile::tempdir().unwrap();
        let broken = write_file(folder.path(), |_| Ok(())).err().unwrap();
        assert_eq!(
            broken.into_failure("`x`").message,
            "cannot write `x`: it is a directory"
        );
    }
}
