"""The plugin: the provider, and a menu to install landshift and to open its map page."""

import subprocess
from pathlib import Path

from qgis.core import QgsApplication, QgsProcessingException, QgsSettings, QgsTask
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import (
    QAction,
    QDialog,
    QFileDialog,
    QInputDialog,
    QMessageBox,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
)

from . import environment, running, views
from .provider import Provider

MENU = "&landshift"


class Plugin:
    """What QGIS loads.

    Args:
        iface: QGIS' interface.
    """

    def __init__(self, iface):
        self.iface = iface
        self.provider = None
        self.actions = []
        self.pages = []

    def initProcessing(self):
        """Add the provider; all that `qgis_process` needs."""
        self.provider = Provider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self):
        """Add the provider and the menu."""
        views.iface = self.iface
        self.initProcessing()
        icon = QIcon(str(Path(__file__).with_name("icon.svg")))
        for text, called in (
            ("Install landshift ...", self.install),
            ("Map page of a folder ...", self.open_page),
            ("Use a landshift of my own ...", self.choose_program),
        ):
            action = QAction(icon, text, self.iface.mainWindow())
            action.triggered.connect(called)
            self.iface.addPluginToRasterMenu(MENU, action)
            self.actions.append(action)

    def unload(self):
        """Take all of it away; map pages that it serves end."""
        for action in self.actions:
            self.iface.removePluginRasterMenu(MENU, action)
        for process in self.pages:
            running.stop(process)
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
        views.iface = None

    def install(self):
        """Ask, then make the environment and install the wheel, with all that pip says."""
        try:
            wheel = environment.wheel()
        except QgsProcessingException as error:
            QMessageBox.warning(self.iface.mainWindow(), "landshift", str(error))
            return
        pythons = environment.pythons()
        if not pythons:
            QMessageBox.warning(
                self.iface.mainWindow(), "landshift",
                "landshift needs Python 3.11 or newer with venv, got none on this machine; "
                "install one from python.org or your system's packages.",
            )  # fmt: skip
            return
        index, accepted = QInputDialog.getText(
            self.iface.mainWindow(), "Install landshift",
            f"{wheel.name} and its dependencies (several GB, with torch) go into\n"
            f"{environment.folder()}\nmade with {pythons[0]}. QGIS itself stays as it is.\n\n"
            "Index of torch for CPUs alone, as PyTorch's page names it (smaller);\n"
            "empty: the usual one:",
        )  # fmt: skip
        if accepted:
            dialog = InstallDialog(self.iface.mainWindow())
            dialog.start(environment.steps(pythons[0], torch_index=index.strip()))
            dialog.show()

    def open_page(self):
        """Serve the map page of a folder until QGIS ends."""
        chosen = QFileDialog.getExistingDirectory(self.iface.mainWindow(), "Folder of a job")
        if not chosen:
            return
        try:
            command = [*environment.program(), "explore", chosen]
        except QgsProcessingException as error:
            QMessageBox.warning(self.iface.mainWindow(), "landshift", str(error))
            return
        self.pages.append(
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=running.environment(),
            )
        )

    def choose_program(self):
        """Take a landshift that the user installed."""
        chosen, _ = QFileDialog.getOpenFileName(self.iface.mainWindow(), "The program landshift")
        if chosen:
            QgsSettings().setValue(environment.SETTING, chosen)


class Installation(QgsTask):
    """Runs the steps of an installation, one after another.

    Args:
        steps: The commands.
    """

    said = pyqtSignal(str)

    def __init__(self, steps):
        super().__init__("Install landshift", QgsTask.Flag.CanCancel)
        self.steps = steps
        self.process = None

    def run(self):
        """Run them; False where one fails or the task is cancelled."""
        for step in self.steps:
            if self.isCanceled():
                return False
            self.said.emit("$ " + " ".join(step))
            self.process = running.start(step, together=True)
            for line in self.process.stdout:
                self.said.emit(line.rstrip())
            if self.process.wait():
                self.said.emit("This step failed; nothing of QGIS was changed.")
                return False
        return True

    def cancel(self):
        """End the step that runs."""
        if self.process is not None:
            running.stop(self.process)
        super().cancel()


class InstallDialog(QDialog):
    """What an installation says."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setWindowTitle("Install landshift")
        self.resize(760, 420)
        layout = QVBoxLayout(self)
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.button = QPushButton("Cancel")
        layout.addWidget(self.text)
        layout.addWidget(self.button)
        self.task = None

    def start(self, steps):
        """Run the steps in the background."""
        self.task = Installation(steps)
        self.task.said.connect(self.text.appendPlainText)
        self.task.taskCompleted.connect(lambda: self._end("landshift is installed."))
        self.task.taskTerminated.connect(lambda: self._end("Not installed."))
        self.button.clicked.connect(self.task.cancel)
        QgsApplication.taskManager().addTask(self.task)

    def _end(self, line):
        self.text.appendPlainText(line)
        self.button.setText("Close")
        self.button.clicked.disconnect()
        self.button.clicked.connect(self.close)
